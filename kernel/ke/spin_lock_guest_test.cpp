// Spin locks of every family and the IRQL, as a driver sees them. Oracle: the WDK pages of the routines; not
// yet run on a real NT.
#include "nt_test.h"
#include "threads.h"

using nt_test::Thread;

namespace {

constexpr KIRQL kSynchLevel = 12;
constexpr KSPIN_LOCK_QUEUE_NUMBER kNumber = LockQueueUnusedSpare15;

// Runs the present thread on one processor for the time of a scope.
class On {
 public:
  explicit On(ULONG processor) { KeSetSystemAffinityThread(KAFFINITY{1} << processor); }
  ~On() { KeRevertToUserAffinityThread(); }
};

ULONG Processors() {
  return KeQueryActiveProcessorCount(nullptr);
}

using LockRoutine = VOID(NTAPI*)(PKSPIN_LOCK);
LockRoutine Routine(const wchar_t* text) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, text);
  return reinterpret_cast<LockRoutine>(MmGetSystemRoutineAddress(&name));
}

void SpinUntil(const volatile LONG* value, LONG wanted) {
  while (*value != wanted) YieldProcessor();
}

}  // namespace

NT_TEST(KeSpinLockFamilies, PlainRaisesAndRestoresTheIrql) {
  KSPIN_LOCK lock;
  KeInitializeSpinLock(&lock);
  KIRQL old;
  KeAcquireSpinLock(&lock, &old);
  const KIRQL inside = KeGetCurrentIrql();
  const BOOLEAN free_inside = KeTestSpinLock(&lock);
  const BOOLEAN tried = KeTryToAcquireSpinLockAtDpcLevel(&lock);
  KeReleaseSpinLock(&lock, old);
  NT_EXPECT_EQ(old, PASSIVE_LEVEL);
  NT_EXPECT_EQ(inside, DISPATCH_LEVEL);
  NT_EXPECT_EQ(free_inside, FALSE);
  NT_EXPECT_EQ(tried, FALSE);
  NT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
  NT_EXPECT_EQ(KeTestSpinLock(&lock), TRUE);
}

NT_TEST(KeSpinLockFamilies, PlainForDpcRaisesFromBelowAndStaysAtDispatch) {
  KSPIN_LOCK lock;
  KeInitializeSpinLock(&lock);
  const KIRQL from_passive = KeAcquireSpinLockForDpc(&lock);
  const KIRQL inside = KeGetCurrentIrql();
  KeReleaseSpinLockForDpc(&lock, from_passive);
  KIRQL old;
  KeRaiseIrql(DISPATCH_LEVEL, &old);
  const KIRQL from_dispatch = KeAcquireSpinLockForDpc(&lock);
  KeReleaseSpinLockForDpc(&lock, from_dispatch);
  const KIRQL after = KeGetCurrentIrql();
  KeLowerIrql(old);
  NT_EXPECT_EQ(from_passive, PASSIVE_LEVEL);
  NT_EXPECT_EQ(inside, DISPATCH_LEVEL);
  NT_EXPECT_EQ(from_dispatch, DISPATCH_LEVEL);
  NT_EXPECT_EQ(after, DISPATCH_LEVEL);
  NT_EXPECT_EQ(KeTestSpinLock(&lock), TRUE);
}

NT_TEST(KeSpinLockFamilies, PlainRaiseToSynchRaisesTo12) {
  KSPIN_LOCK lock;
  KeInitializeSpinLock(&lock);
  const KIRQL old = KeAcquireSpinLockRaiseToSynch(&lock);
  const KIRQL inside = KeGetCurrentIrql();
  const BOOLEAN free_inside = KeTestSpinLock(&lock);
  KeReleaseSpinLock(&lock, old);
  NT_EXPECT_EQ(old, PASSIVE_LEVEL);
  NT_EXPECT_EQ(inside, kSynchLevel);
  NT_EXPECT_EQ(free_inside, FALSE);
  NT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

NT_TEST(KeSpinLockFamilies, PlainAliasesTakeTheSameLock) {
  // No import library of 64-bit Windows has these names.
  const auto acquire = Routine(L"KefAcquireSpinLockAtDpcLevel");
  const auto release = Routine(L"KefReleaseSpinLockFromDpcLevel");
  if (acquire == nullptr && release == nullptr) return;
  NT_ASSERT_TRUE(acquire != nullptr && release != nullptr);
  KSPIN_LOCK lock;
  KeInitializeSpinLock(&lock);
  KIRQL old;
  KeRaiseIrql(DISPATCH_LEVEL, &old);
  acquire(&lock);
  const BOOLEAN tried = KeTryToAcquireSpinLockAtDpcLevel(&lock);
  release(&lock);
  const BOOLEAN again = KeTryToAcquireSpinLockAtDpcLevel(&lock);
  KeReleaseSpinLockFromDpcLevel(&lock);
  KeLowerIrql(old);
  NT_EXPECT_EQ(tried, FALSE);
  NT_EXPECT_EQ(again, TRUE);
}

NT_TEST(KeSpinLockFamilies, QueuedLocksNestAndRestoreTheIrql) {
  KSPIN_LOCK outer, inner;
  KeInitializeSpinLock(&outer);
  KeInitializeSpinLock(&inner);
  KLOCK_QUEUE_HANDLE first, second;
  KeAcquireInStackQueuedSpinLock(&outer, &first);
  KeAcquireInStackQueuedSpinLockAtDpcLevel(&inner, &second);
  const KIRQL inside = KeGetCurrentIrql();
  const bool both = outer != 0 && inner != 0;
  KeReleaseInStackQueuedSpinLock(&first);  // not in the reverse order: they are two locks
  const KIRQL between = KeGetCurrentIrql();
  const bool one = outer == 0 && inner != 0;
  KeRaiseIrql(DISPATCH_LEVEL, &first.OldIrql);
  KeReleaseInStackQueuedSpinLockFromDpcLevel(&second);
  KeLowerIrql(first.OldIrql);
  NT_EXPECT_EQ(inside, DISPATCH_LEVEL);
  NT_EXPECT_EQ(between, PASSIVE_LEVEL);
  NT_EXPECT_TRUE(both);
  NT_EXPECT_TRUE(one);
  NT_EXPECT_EQ(inner, 0);
}

NT_TEST(KeSpinLockFamilies, QueuedForDpcAndRaiseToSynch) {
  KSPIN_LOCK lock;
  KeInitializeSpinLock(&lock);
  KLOCK_QUEUE_HANDLE handle;
  KeAcquireInStackQueuedSpinLockForDpc(&lock, &handle);
  const KIRQL for_dpc = KeGetCurrentIrql();
  KeReleaseInStackQueuedSpinLockForDpc(&handle);
  NT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
  KeAcquireInStackQueuedSpinLockRaiseToSynch(&lock, &handle);
  const KIRQL synch = KeGetCurrentIrql();
  KeReleaseInStackQueuedSpinLock(&handle);
  NT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
  NT_EXPECT_EQ(for_dpc, DISPATCH_LEVEL);
  NT_EXPECT_EQ(synch, kSynchLevel);
  NT_EXPECT_EQ(lock, 0);
}

NT_TEST(KeSpinLockFamilies, QueuedForDpcReleaseSetsTheIrqlThatWas) {
  KSPIN_LOCK lock;
  KeInitializeSpinLock(&lock);
  KLOCK_QUEUE_HANDLE handle;
  KIRQL old;
  KeRaiseIrql(DISPATCH_LEVEL, &old);
  KeAcquireInStackQueuedSpinLockForDpc(&lock, &handle);
  KeReleaseInStackQueuedSpinLockForDpc(&handle);
  const KIRQL after = KeGetCurrentIrql();
  KeLowerIrql(old);
  NT_EXPECT_EQ(after, DISPATCH_LEVEL);
}

namespace {

// Three processors in line for one lock. A waiter has linked itself when its predecessor's Next is set.
struct Line {
  KSPIN_LOCK lock;
  KLOCK_QUEUE_HANDLE handles[3];
  volatile LONG ready;  // threads that are on their processors
  volatile LONG go;     // the number that may queue
  volatile LONG order;  // digits, in the order of acquisition
};

struct InLine {
  Line* line;
  ULONG number;
};

void NTAPI QueueInLine(PVOID context) {
  auto* self = static_cast<InLine*>(context);
  On processor(self->number);
  Line* line = self->line;
  InterlockedIncrement(&line->ready);
  SpinUntil(&line->go, static_cast<LONG>(self->number));
  KeAcquireInStackQueuedSpinLock(&line->lock, &line->handles[self->number]);
  line->order = line->order * 10 + static_cast<LONG>(self->number);
  KeReleaseInStackQueuedSpinLock(&line->handles[self->number]);
}

void WaitForSuccessor(KLOCK_QUEUE_HANDLE* handle) {
  volatile KSPIN_LOCK_QUEUE* queue = &handle->LockQueue;
  while (queue->Next == nullptr) YieldProcessor();
}

}  // namespace

NT_TEST(KeSpinLockFamilies, QueuedGoesToWaitersInTheirOrder) {
  if (Processors() < 3) return;  // nobody could queue while this processor holds the lock
  Line line = {};
  KeInitializeSpinLock(&line.lock);
  InLine first = {&line, 1}, second = {&line, 2};
  On processor(0);
  {
    Thread one(QueueInLine, &first), two(QueueInLine, &second);
    NT_ASSERT_TRUE(one.started() && two.started());
    while (line.ready != 2) nt_test::Sleep(1);
    KeAcquireInStackQueuedSpinLock(&line.lock, &line.handles[0]);
    line.go = 1;
    WaitForSuccessor(&line.handles[0]);
    line.go = 2;
    WaitForSuccessor(&line.handles[1]);
    KeReleaseInStackQueuedSpinLock(&line.handles[0]);
  }
  NT_EXPECT_EQ(line.order, 12);
  NT_EXPECT_EQ(line.lock, 0);
}

NT_TEST(KeSpinLockFamilies, NumberedLocksOfOneProcessor) {
  const KIRQL old = KeAcquireQueuedSpinLock(kNumber);
  const KIRQL inside = KeGetCurrentIrql();
  KIRQL unused = 77;
  const LOGICAL tried = KeTryToAcquireQueuedSpinLock(kNumber, &unused);
  const KIRQL after_try = KeGetCurrentIrql();
  KeReleaseQueuedSpinLock(kNumber, old);
  NT_EXPECT_EQ(old, PASSIVE_LEVEL);
  NT_EXPECT_EQ(inside, DISPATCH_LEVEL);
  NT_EXPECT_EQ(tried, FALSE);
  NT_EXPECT_EQ(after_try, DISPATCH_LEVEL);
  NT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);

  KIRQL tried_from = 77;
  NT_ASSERT_TRUE(KeTryToAcquireQueuedSpinLock(kNumber, &tried_from));
  const KIRQL tried_inside = KeGetCurrentIrql();
  KeReleaseQueuedSpinLock(kNumber, tried_from);
  NT_EXPECT_EQ(tried_from, PASSIVE_LEVEL);
  NT_EXPECT_EQ(tried_inside, DISPATCH_LEVEL);

  KIRQL synch_from = KeAcquireQueuedSpinLockRaiseToSynch(kNumber);
  const KIRQL synch = KeGetCurrentIrql();
  KeReleaseQueuedSpinLock(kNumber, synch_from);
  NT_EXPECT_EQ(synch, kSynchLevel);
  NT_ASSERT_TRUE(KeTryToAcquireQueuedSpinLockRaiseToSynch(kNumber, &synch_from));
  const KIRQL tried_synch = KeGetCurrentIrql();
  KeReleaseQueuedSpinLock(kNumber, synch_from);
  NT_EXPECT_EQ(tried_synch, kSynchLevel);
}

namespace {

struct NumberedHolder {
  volatile LONG state;  // 1: held, 2: to be released, 3: released
};

void NTAPI HoldNumbered(PVOID context) {
  auto* holder = static_cast<NumberedHolder*>(context);
  On processor(1);
  const KIRQL old = KeAcquireQueuedSpinLock(kNumber);
  holder->state = 1;
  SpinUntil(&holder->state, 2);
  holder->state = 3;
  KeReleaseQueuedSpinLock(kNumber, old);
}

}  // namespace

NT_TEST(KeSpinLockFamilies, NumberedTryFailsWhileAnotherProcessorHolds) {
  if (Processors() < 2) return;
  NumberedHolder holder = {};
  On processor(0);
  Thread thread(HoldNumbered, &holder);
  NT_ASSERT_TRUE(thread.started());
  SpinUntil(&holder.state, 1);
  KIRQL unused;
  const LOGICAL tried = KeTryToAcquireQueuedSpinLock(kNumber, &unused);
  const KIRQL after = KeGetCurrentIrql();
  holder.state = 2;
  const KIRQL old = KeAcquireQueuedSpinLock(kNumber);
  const LONG seen = holder.state;
  KeReleaseQueuedSpinLock(kNumber, old);
  NT_EXPECT_EQ(tried, FALSE);
  NT_EXPECT_EQ(after, PASSIVE_LEVEL);
  NT_EXPECT_EQ(seen, 3);
}

NT_TEST(KeSpinLockFamilies, CancelLockIsTheNumberedOne) {
  KIRQL old;
  IoAcquireCancelSpinLock(&old);
  KIRQL unused;
  const LOGICAL tried = KeTryToAcquireQueuedSpinLock(LockQueueIoCancelLock, &unused);
  const KIRQL inside = KeGetCurrentIrql();
  IoReleaseCancelSpinLock(old);
  NT_EXPECT_EQ(old, PASSIVE_LEVEL);
  NT_EXPECT_EQ(inside, DISPATCH_LEVEL);
  NT_EXPECT_EQ(tried, FALSE);
  NT_ASSERT_TRUE(KeTryToAcquireQueuedSpinLock(LockQueueIoCancelLock, &old));
  KeReleaseQueuedSpinLock(LockQueueIoCancelLock, old);
}

NT_TEST(KeSpinLockFamilies, PlainLocksMayBeReleasedInAnyOrder) {
  KSPIN_LOCK first, second;
  KeInitializeSpinLock(&first);
  KeInitializeSpinLock(&second);
  KIRQL old;
  KeAcquireSpinLock(&first, &old);
  KeAcquireSpinLockAtDpcLevel(&second);
  KeReleaseSpinLockFromDpcLevel(&first);
  const bool right = KeTestSpinLock(&first) && !KeTestSpinLock(&second);
  KeReleaseSpinLock(&second, old);
  NT_EXPECT_TRUE(right);
  NT_EXPECT_TRUE(KeTestSpinLock(&second));
}

// ---- IRQL ----

NT_TEST(KeIrql, EffectiveIrqlIsHighWithInterruptsOff) {
  NT_EXPECT_EQ(KeGetEffectiveIrql(), PASSIVE_LEVEL);
  KIRQL old;
  KeRaiseIrql(DISPATCH_LEVEL, &old);
  const KIRQL raised = KeGetEffectiveIrql();
  KeLowerIrql(old);
  NT_EXPECT_EQ(raised, DISPATCH_LEVEL);
  __asm__ volatile("cli" ::: "memory");
  const KIRQL disabled = KeGetEffectiveIrql();
  __asm__ volatile("sti" ::: "memory");
  NT_EXPECT_EQ(disabled, HIGH_LEVEL);
  NT_EXPECT_EQ(KeGetEffectiveIrql(), PASSIVE_LEVEL);
}

NT_TEST(KeIrql, RaiseToNamedLevels) {
  const KIRQL from = KeRaiseIrqlToDpcLevel();
  const KIRQL dispatch = KeGetCurrentIrql();
  KIRQL second;
  KeRaiseIrql(HIGH_LEVEL, &second);
  const KIRQL high = KeGetCurrentIrql();
  KeLowerIrql(second);
  const KIRQL back = KeGetCurrentIrql();
  KeLowerIrql(from);
  NT_EXPECT_EQ(from, PASSIVE_LEVEL);
  NT_EXPECT_EQ(dispatch, DISPATCH_LEVEL);
  NT_EXPECT_EQ(second, DISPATCH_LEVEL);
  NT_EXPECT_EQ(high, HIGH_LEVEL);
  NT_EXPECT_EQ(back, DISPATCH_LEVEL);
}

namespace {

struct Due {
  KDPC dpcs[3];
  KEVENT event;
  volatile LONG started;
  volatile LONG order;  // digits: 1, 2, 3 the DPCs, 9 the thread
  volatile LONG dpc_irql;
};

VOID NTAPI NoteDpc(PKDPC, PVOID context, PVOID number, PVOID) {
  auto* due = static_cast<Due*>(context);
  due->order = due->order * 10 + static_cast<LONG>(reinterpret_cast<LONG_PTR>(number));
  due->dpc_irql = KeGetCurrentIrql();
}

void NTAPI NoteThread(PVOID context) {
  auto* due = static_cast<Due*>(context);
  On processor(0);
  KeSetPriorityThread(KeGetCurrentThread(), LOW_REALTIME_PRIORITY + 5);
  due->started = 1;
  KeWaitForSingleObject(&due->event, Executive, KernelMode, FALSE, nullptr);
  due->order = due->order * 10 + 9;
}

}  // namespace

NT_TEST(KeIrql, LoweringRunsWhatBecameDueInOrder) {
  Due due = {};
  KeInitializeEvent(&due.event, NotificationEvent, FALSE);
  for (KDPC& dpc : due.dpcs) KeInitializeDpc(&dpc, NoteDpc, &due);
  On processor(0);
  Thread thread(NoteThread, &due);
  NT_ASSERT_TRUE(thread.started());
  // On this processor it has the higher priority: once it is seen to have started, it waits.
  while (due.started == 0) nt_test::Sleep(1);
  KIRQL old;
  KeRaiseIrql(kSynchLevel, &old);
  for (LONG_PTR i = 0; i < 3; ++i) KeInsertQueueDpc(&due.dpcs[i], reinterpret_cast<PVOID>(i + 1), nullptr);
  const LONG at_synch = due.order;
  KeLowerIrql(DISPATCH_LEVEL);
  const LONG at_dispatch = due.order;
  KeSetEvent(&due.event, IO_NO_INCREMENT, FALSE);
  const LONG after_set = due.order;
  KeLowerIrql(old);
  const LONG at_passive = due.order;
  NT_EXPECT_EQ(at_synch, 0);
  NT_EXPECT_EQ(at_dispatch, 0);
  NT_EXPECT_EQ(after_set, 0);
  NT_EXPECT_EQ(at_passive, 1239);
  NT_EXPECT_EQ(due.dpc_irql, DISPATCH_LEVEL);
}
