// Queues, APCs, processors, threads, IPIs and debug prints as a driver sees them. Oracle: the WDK pages of
// the routines; not yet run on a real NT.
#include "nt_test.h"
#include "threads.h"

using nt_test::Milliseconds;
using nt_test::Sleep;
using nt_test::Thread;

extern "C" {
NTKERNELAPI VOID NTAPI KeInitializeApc(PRKAPC, PRKTHREAD, ULONG, PKKERNEL_ROUTINE, PKRUNDOWN_ROUTINE,
                                       PKNORMAL_ROUTINE, KPROCESSOR_MODE, PVOID);
NTKERNELAPI BOOLEAN NTAPI KeInsertQueueApc(PRKAPC, PVOID, PVOID, KPRIORITY);
}

namespace {

struct ApcState {
  KAPC apc;
  KEVENT started, stop;
  volatile LONG kernel_irql = -1, normal_irql = -1;
  volatile LONG done_inside_region = -1;
};

VOID NTAPI ApcKernel(PKAPC apc, PKNORMAL_ROUTINE*, PVOID*, PVOID*, PVOID*) {
  CONTAINING_RECORD(apc, ApcState, apc)->kernel_irql = KeGetCurrentIrql();
}
VOID NTAPI ApcNormal(PVOID context, PVOID, PVOID) {
  static_cast<ApcState*>(context)->normal_irql = KeGetCurrentIrql();
}
VOID NTAPI ApcRundown(PKAPC) {}

VOID NTAPI ApcTarget(PVOID context) {
  auto* state = static_cast<ApcState*>(context);
  KeSetEvent(&state->started, 0, FALSE);
  KeWaitForSingleObject(&state->stop, Executive, KernelMode, FALSE, nullptr);
}

struct QueueState {
  KQUEUE queue;
  LIST_ENTRY entries[8];
  volatile LONG taken = 0;
};

VOID NTAPI QueueWorker(PVOID context) {
  auto* state = static_cast<QueueState*>(context);
  LARGE_INTEGER timeout = Milliseconds(500);
  while (KeRemoveQueue(&state->queue, KernelMode, &timeout) !=
         reinterpret_cast<PLIST_ENTRY>(static_cast<LONG_PTR>(STATUS_TIMEOUT))) {
    InterlockedIncrement(&state->taken);
  }
}

ULONG_PTR NTAPI CountProcessor(ULONG_PTR context) {
  auto* mask = reinterpret_cast<volatile LONG64*>(context);
  InterlockedOr64(mask, 1ll << KeGetCurrentProcessorNumberEx(nullptr));
  return KeGetCurrentIrql();
}

struct GenericState {
  volatile LONG64 mask;
  volatile LONG arrived, last, early;
};
VOID NTAPI GenericRoutine(PKDPC, PVOID context, PVOID argument1, PVOID argument2) {
  auto* state = static_cast<GenericState*>(context);
  InterlockedOr64(&state->mask, 1ll << KeGetCurrentProcessorNumberEx(nullptr));
  InterlockedIncrement(&state->arrived);
  if (KeSignalCallDpcSynchronize(argument2)) InterlockedIncrement(&state->last);
  if (state->arrived != static_cast<LONG>(KeQueryActiveProcessorCount(nullptr)))
    InterlockedIncrement(&state->early);
  KeSignalCallDpcDone(argument1);
}

struct XmmState {
  ULONG64 pattern;
  volatile LONG* wrong;
};

// Keeps a pattern in volatile and nonvolatile registers while interrupts and other threads come and go.
VOID NTAPI HoldXmm(PVOID context) {
  auto* state = static_cast<XmmState*>(context);
  for (int round = 0; round < 40; ++round) {
    ULONG64 out[4];
    ULONG64 count = 2'000'000;
    __asm__ volatile(
        "movq %[in], %%xmm0\n\tmovq %[in], %%xmm5\n\tmovq %[in], %%xmm6\n\tmovq %[in], %%xmm15\n"
        "1:\n\tdecq %[count]\n\tjnz 1b\n\t"
        "movq %%xmm0, %[a]\n\tmovq %%xmm5, %[b]\n\tmovq %%xmm6, %[c]\n\tmovq %%xmm15, %[d]"
        : [a] "=&r"(out[0]), [b] "=&r"(out[1]), [c] "=&r"(out[2]), [d] "=&r"(out[3]), [count] "+r"(count)
        : [in] "r"(state->pattern)
        : "xmm0", "xmm5", "xmm6", "xmm15", "cc");
    for (ULONG64 value : out) {
      if (value != state->pattern) InterlockedIncrement(state->wrong);
    }
    if (round % 8 == 0) Sleep(1);
  }
}

VOID NTAPI Spin(PVOID context) {
  while (*static_cast<volatile LONG*>(context) == 0) {
  }
}

}  // namespace

NT_TEST(KeApc, NormalApcRunsInItsThreadAtPassiveLevel) {
  auto* state = static_cast<ApcState*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(ApcState), 'tseT'));
  NT_ASSERT_TRUE(state != nullptr);
  RtlZeroMemory(state, sizeof(*state));
  state->kernel_irql = -1;
  state->normal_irql = -1;
  KeInitializeEvent(&state->started, NotificationEvent, FALSE);
  KeInitializeEvent(&state->stop, NotificationEvent, FALSE);
  Thread thread(ApcTarget, state);
  KeWaitForSingleObject(&state->started, Executive, KernelMode, FALSE, nullptr);
  KeInitializeApc(&state->apc, reinterpret_cast<PRKTHREAD>(thread.object()), 0, ApcKernel, ApcRundown,
                  ApcNormal, KernelMode, state);
  NT_EXPECT_TRUE(KeInsertQueueApc(&state->apc, nullptr, nullptr, 0));
  for (int i = 0; i < 1000 && state->normal_irql < 0; ++i) Sleep(1);
  KeSetEvent(&state->stop, 0, FALSE);
  thread.Join();
  NT_EXPECT_EQ(state->kernel_irql, APC_LEVEL);
  NT_EXPECT_EQ(state->normal_irql, PASSIVE_LEVEL);
  ExFreePoolWithTag(state, 'tseT');
}

NT_TEST(KeApc, CriticalRegionHoldsNormalApcsBack) {
  ApcState state = {};
  state.normal_irql = -1;
  KeInitializeApc(&state.apc, KeGetCurrentThread(), 0, ApcKernel, ApcRundown, ApcNormal, KernelMode, &state);
  KeEnterCriticalRegion();
  NT_EXPECT_TRUE(KeAreApcsDisabled());
  NT_EXPECT_TRUE(KeInsertQueueApc(&state.apc, nullptr, nullptr, 0));
  NT_EXPECT_EQ(state.normal_irql, -1);
  KeLeaveCriticalRegion();
  NT_EXPECT_EQ(state.normal_irql, PASSIVE_LEVEL);
  NT_EXPECT_TRUE(!KeAreApcsDisabled());
}

NT_TEST(KeApc, GuardedRegionDisablesAll) {
  KeEnterGuardedRegion();
  NT_EXPECT_TRUE(KeAreAllApcsDisabled());
  KeLeaveGuardedRegion();
  NT_EXPECT_TRUE(!KeAreAllApcsDisabled());
}

NT_TEST(KeQueue, EntriesAreTakenOnceByTheWorkers) {
  QueueState state;
  KeInitializeQueue(&state.queue, 0);
  {
    Thread first(QueueWorker, &state), second(QueueWorker, &state);
    for (LIST_ENTRY& entry : state.entries) KeInsertQueue(&state.queue, &entry);
  }
  NT_EXPECT_EQ(state.taken, 8);
  NT_EXPECT_EQ(KeReadStateQueue(&state.queue), 0);
  NT_EXPECT_TRUE(KeRundownQueue(&state.queue) == nullptr);
}

NT_TEST(KeIpi, GenericCallReachesEveryProcessorAtIpiLevel) {
  volatile LONG64 mask = 0;
  const ULONG_PTR irql = KeIpiGenericCall(CountProcessor, reinterpret_cast<ULONG_PTR>(&mask));
  NT_EXPECT_EQ(mask, static_cast<LONG64>(KeQueryActiveProcessors()));
  NT_EXPECT_EQ(irql, 14);
}

NT_TEST(KeThread, PriorityIsSetAndReturned) {
  const KPRIORITY before = KeSetPriorityThread(KeGetCurrentThread(), 13);
  NT_EXPECT_EQ(KeQueryPriorityThread(KeGetCurrentThread()), 13);
  NT_EXPECT_EQ(KeSetPriorityThread(KeGetCurrentThread(), before), 13);
}

// More spinning threads of a lower priority than processors: this thread must still get one at once.
NT_TEST(KeThread, HigherPriorityIsNotStarvedBySpinners) {
  volatile LONG stop = 0;
  const KPRIORITY before = KeSetPriorityThread(KeGetCurrentThread(), 12);
  constexpr ULONG kMost = 8;
  ULONG count = KeQueryActiveProcessorCount(nullptr) + 1;
  if (count > kMost) count = kMost;
  PVOID spinners[kMost] = {};
  for (ULONG i = 0; i < count; ++i) {
    HANDLE handle;
    NT_ASSERT_SUCCESS(PsCreateSystemThread(&handle, THREAD_ALL_ACCESS, nullptr, nullptr, nullptr, Spin,
                                           const_cast<LONG*>(&stop)));
    ObReferenceObjectByHandle(handle, THREAD_ALL_ACCESS, *PsThreadType, KernelMode, &spinners[i], nullptr);
    ZwClose(handle);
  }
  for (int i = 0; i < 5; ++i) Sleep(2);  // each wake needs a processor that a spinner has
  stop = 1;
  for (ULONG i = 0; i < count; ++i) {
    KeWaitForSingleObject(spinners[i], Executive, KernelMode, FALSE, nullptr);
    ObDereferenceObject(spinners[i]);
  }
  KeSetPriorityThread(KeGetCurrentThread(), before);
}

NT_TEST(KeThread, FloatingRegistersBelongToTheThread) {
  volatile LONG wrong = 0;
  XmmState states[3] = {
      {0x1111111111111111, &wrong}, {0x2222222222222222, &wrong}, {0x3333333333333333, &wrong}};
  {
    Thread first(HoldXmm, &states[0]), second(HoldXmm, &states[1]), third(HoldXmm, &states[2]);
    NT_EXPECT_TRUE(first.started() && second.started() && third.started());
  }
  NT_EXPECT_EQ(wrong, 0);
}

NT_TEST(KeProcessor, NumbersAndIndexesAgree) {
  const ULONG count = KeQueryActiveProcessorCountEx(ALL_PROCESSOR_GROUPS);
  NT_EXPECT_EQ(KeQueryActiveProcessorCount(nullptr), count);
  for (ULONG i = 0; i < count; ++i) {
    PROCESSOR_NUMBER number;
    NT_EXPECT_SUCCESS(KeGetProcessorNumberFromIndex(i, &number));
    NT_EXPECT_EQ(KeGetProcessorIndexFromNumber(&number), i);
  }
  PROCESSOR_NUMBER none;
  NT_EXPECT_EQ(KeGetProcessorNumberFromIndex(count, &none), STATUS_INVALID_PARAMETER);
}

NT_TEST(KeAttach, AttachAndDetachNest) {
  KAPC_STATE outer, inner;
  const PEPROCESS own = IoGetCurrentProcess();
  KeStackAttachProcess(reinterpret_cast<PKPROCESS>(PsInitialSystemProcess), &outer);
  KeStackAttachProcess(reinterpret_cast<PKPROCESS>(PsInitialSystemProcess), &inner);
  NT_EXPECT_TRUE(IoGetCurrentProcess() == PsInitialSystemProcess);
  KeUnstackDetachProcess(&inner);
  KeUnstackDetachProcess(&outer);
  NT_EXPECT_TRUE(IoGetCurrentProcess() == own);
}

NT_TEST(KeGenericDpc, RunsOnEveryProcessorWithABarrier) {
  GenericState state = {};
  KeGenericCallDpc(GenericRoutine, &state);
  NT_EXPECT_EQ(state.mask, static_cast<LONG64>(KeQueryActiveProcessors()));
  NT_EXPECT_EQ(state.last, 1);
  NT_EXPECT_EQ(state.early, 0);
}

NT_TEST(KeProcessor, CachesCanBeInvalidated) {
  NT_EXPECT_TRUE(KeInvalidateAllCaches());
}

NT_TEST(KeBugCheck, CallbackIsRegisteredOnce) {
  KBUGCHECK_CALLBACK_RECORD record;
  PKBUGCHECK_CALLBACK_RECORD pointer = &record;
  KeInitializeCallbackRecord(pointer);
  const auto routine = [](PVOID, ULONG) {};
  UCHAR component[] = "test";
  NT_EXPECT_TRUE(!KeDeregisterBugCheckCallback(&record));
  NT_EXPECT_TRUE(KeRegisterBugCheckCallback(&record, routine, nullptr, 0, component));
  NT_EXPECT_TRUE(!KeRegisterBugCheckCallback(&record, routine, nullptr, 0, component));
  NT_EXPECT_TRUE(KeDeregisterBugCheckCallback(&record));
}

NT_TEST(KdPrint, PrintsReturnSuccess) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"counted");
  NT_EXPECT_EQ(DbgPrint("print test: %wZ %d\n", &name, 1), STATUS_SUCCESS);
  NT_EXPECT_EQ(DbgPrintEx(DPFLTR_IHVDRIVER_ID, DPFLTR_INFO_LEVEL, "print test: %s\n", "ex"), STATUS_SUCCESS);
}
