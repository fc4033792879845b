// Dispatcher objects, waits, queues and the scheduler as a driver sees them. Oracle: the WDK pages of the
// routines; not yet run on a real NT.
#include "nt_test.h"
#include "threads.h"

using nt_test::Milliseconds;
using nt_test::Sleep;
using nt_test::Thread;

// Exported by Windows, in no header.
extern "C" {
NTSYSAPI BOOLEAN NTAPI KeAlertThread(PKTHREAD Thread, KPROCESSOR_MODE AlertMode);
NTSYSAPI BOOLEAN NTAPI KeTestAlertThread(KPROCESSOR_MODE AlertMode);
NTSYSAPI KAFFINITY NTAPI KeSetAffinityThread(PKTHREAD Thread, KAFFINITY Affinity);
NTSYSAPI KPRIORITY NTAPI KeSetActualBasePriorityThread(PKTHREAD Thread, KPRIORITY Priority);
NTSYSAPI BOOLEAN NTAPI KeIsWaitListEmpty(PVOID Object);
NTSYSAPI VOID NTAPI KeSetEventBoostPriority(PRKEVENT Event, PKTHREAD* Thread);
}

namespace {

PKTHREAD KernelThread(const Thread& thread) {
  return reinterpret_cast<PKTHREAD>(thread.object());
}

NTSTATUS Poll(PVOID object) {
  LARGE_INTEGER zero = {};
  return KeWaitForSingleObject(object, Executive, KernelMode, FALSE, &zero);
}

// Returns when somebody waits for the object.
void AwaitWaiter(PVOID object) {
  while (KeIsWaitListEmpty(object)) Sleep(1);
}

// One wait by another thread, and what it returned.
struct Waiter {
  PVOID objects[3] = {};
  ULONG count = 1;
  WAIT_TYPE type = WaitAny;
  KPROCESSOR_MODE mode = KernelMode;
  BOOLEAN alertable = FALSE;
  KAFFINITY affinity = 0;
  KPRIORITY priority = 0;
  volatile LONG* order = nullptr;
  volatile LONG place = 0;
  volatile NTSTATUS status = STATUS_PENDING;

  static VOID NTAPI Run(PVOID context) {
    auto* self = static_cast<Waiter*>(context);
    if (self->affinity != 0) KeSetSystemAffinityThreadEx(self->affinity);
    if (self->priority != 0) KeSetPriorityThread(KeGetCurrentThread(), self->priority);
    self->status = KeWaitForMultipleObjects(self->count, self->objects, self->type, Executive, self->mode,
                                            self->alertable, nullptr, nullptr);
    if (self->order != nullptr) self->place = InterlockedIncrement(self->order);
  }
};

VOID NTAPI ExitAtOnce(PVOID) {}

}  // namespace

NT_TEST(KeEvent, SetReleasesOneWaiterOfASynchronizationEvent) {
  KEVENT event;
  KeInitializeEvent(&event, SynchronizationEvent, FALSE);
  volatile LONG released = 0;
  Waiter waiters[3];
  for (Waiter& waiter : waiters) waiter.objects[0] = &event, waiter.order = &released;
  Thread first(Waiter::Run, &waiters[0]), second(Waiter::Run, &waiters[1]), third(Waiter::Run, &waiters[2]);
  for (LONG i = 1; i <= 3; ++i) {
    AwaitWaiter(&event);
    KeSetEvent(&event, 0, FALSE);
    while (released < i) Sleep(1);
    Sleep(3);
    NT_EXPECT_EQ(released, i);
  }
}

NT_TEST(KeEvent, PulseReleasesWhoWaitsAndLeavesItClear) {
  KEVENT event;
  KeInitializeEvent(&event, NotificationEvent, FALSE);
  NT_EXPECT_EQ(KePulseEvent(&event, 0, FALSE), 0);
  NT_EXPECT_EQ(Poll(&event), STATUS_TIMEOUT);
  Waiter waiter;
  waiter.objects[0] = &event;
  Thread thread(Waiter::Run, &waiter);
  AwaitWaiter(&event);
  KePulseEvent(&event, 0, FALSE);
  thread.Join();
  NT_EXPECT_EQ(waiter.status, STATUS_WAIT_0);
  NT_EXPECT_EQ(KeReadStateEvent(&event), 0);
}

NT_TEST(KeEvent, PulseCompletesAWaitForAll) {
  KEVENT first, second;
  KeInitializeEvent(&first, SynchronizationEvent, TRUE);
  KeInitializeEvent(&second, NotificationEvent, FALSE);
  Waiter waiter;
  waiter.objects[0] = &first, waiter.objects[1] = &second;
  waiter.count = 2, waiter.type = WaitAll;
  Thread thread(Waiter::Run, &waiter);
  AwaitWaiter(&second);
  KePulseEvent(&second, 0, FALSE);
  NT_EXPECT_EQ(KeReadStateEvent(&first), 0);
  thread.Join();
  NT_EXPECT_EQ(waiter.status, STATUS_WAIT_0);
}

NT_TEST(KeEvent, SetWithWaitKeepsTheIrqlUntilTheWait) {
  KEVENT event, other;
  KeInitializeEvent(&event, NotificationEvent, FALSE);
  KeInitializeEvent(&other, NotificationEvent, TRUE);
  KeSetEvent(&event, 0, TRUE);
  const KIRQL between = KeGetCurrentIrql();
  const NTSTATUS status = KeWaitForSingleObject(&other, Executive, KernelMode, FALSE, nullptr);
  NT_EXPECT_EQ(between, DISPATCH_LEVEL);
  NT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
  NT_EXPECT_EQ(status, STATUS_WAIT_0);
}

NT_TEST(KeSemaphore, ReleaseWithWaitHandsOverInOneStep) {
  KSEMAPHORE semaphore;
  KEVENT answer;
  KeInitializeSemaphore(&semaphore, 0, 1);
  KeInitializeEvent(&answer, NotificationEvent, FALSE);
  Waiter waiter;
  waiter.objects[0] = &semaphore;
  Thread thread(Waiter::Run, &waiter);
  AwaitWaiter(&semaphore);
  KeReleaseSemaphore(&semaphore, 0, 1, TRUE);
  const KIRQL between = KeGetCurrentIrql();
  LARGE_INTEGER zero = {};
  NT_EXPECT_EQ(KeWaitForSingleObject(&answer, Executive, KernelMode, FALSE, &zero), STATUS_TIMEOUT);
  NT_EXPECT_EQ(between, DISPATCH_LEVEL);
  NT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
  thread.Join();
  NT_EXPECT_EQ(waiter.status, STATUS_WAIT_0);
}

NT_TEST(KeSemaphore, ReleaseOfSeveralReleasesAsMany) {
  KSEMAPHORE semaphore;
  KeInitializeSemaphore(&semaphore, 0, 10);
  volatile LONG released = 0;
  Waiter waiters[3];
  for (Waiter& waiter : waiters) waiter.objects[0] = &semaphore, waiter.order = &released;
  Thread first(Waiter::Run, &waiters[0]), second(Waiter::Run, &waiters[1]), third(Waiter::Run, &waiters[2]);
  NT_EXPECT_EQ(KeReleaseSemaphore(&semaphore, 0, 2, FALSE), 0);
  while (released < 2) Sleep(1);
  Sleep(3);
  NT_EXPECT_EQ(released, 2);
  KeReleaseSemaphore(&semaphore, 0, 3, FALSE);
  first.Join(), second.Join(), third.Join();
  NT_EXPECT_EQ(KeReadStateSemaphore(&semaphore), 2);
}

NT_TEST(KeMutex, AbandonedOneIsToldOnce) {
  KMUTANT mutant;
  KeInitializeMutant(&mutant, TRUE);
  NT_EXPECT_EQ(KeReadStateMutant(&mutant), 0);
  NT_EXPECT_EQ(KeReleaseMutant(&mutant, 0, TRUE, FALSE), 0);
  NT_EXPECT_EQ(KeReadStateMutant(&mutant), 1);
  NT_EXPECT_EQ(Poll(&mutant), STATUS_ABANDONED_WAIT_0);
  NT_EXPECT_EQ(Poll(&mutant), STATUS_WAIT_0);
  NT_EXPECT_EQ(KeReadStateMutant(&mutant), -1);
  KeReleaseMutant(&mutant, 0, FALSE, FALSE);
  KeReleaseMutant(&mutant, 0, FALSE, FALSE);
  NT_EXPECT_EQ(KeReadStateMutant(&mutant), 1);
}

namespace {

NTSTATUS RaisedByRelease(PKSEMAPHORE semaphore, LONG adjustment) {
  __try {
    KeReleaseSemaphore(semaphore, 0, adjustment, FALSE);
  } __except (EXCEPTION_EXECUTE_HANDLER) {
    return GetExceptionCode();
  }
  return STATUS_SUCCESS;
}

NTSTATUS RaisedByWait(PVOID object) {
  __try {
    LARGE_INTEGER zero = {};
    KeWaitForSingleObject(object, Executive, KernelMode, FALSE, &zero);
  } __except (EXCEPTION_EXECUTE_HANDLER) {
    return GetExceptionCode();
  }
  return STATUS_SUCCESS;
}

NTSTATUS RaisedByMutantRelease(PKMUTANT mutant) {
  __try {
    KeReleaseMutant(mutant, 0, FALSE, FALSE);
  } __except (EXCEPTION_EXECUTE_HANDLER) {
    return GetExceptionCode();
  }
  return STATUS_SUCCESS;
}

}  // namespace

NT_TEST(KeSemaphore, ReleasePastTheLimitRaises) {
  KSEMAPHORE semaphore;
  KeInitializeSemaphore(&semaphore, 1, 3);
  NT_EXPECT_EQ(RaisedByRelease(&semaphore, 3), STATUS_SEMAPHORE_LIMIT_EXCEEDED);
  NT_EXPECT_EQ(KeReadStateSemaphore(&semaphore), 1);
  NT_EXPECT_EQ(RaisedByRelease(&semaphore, 2), STATUS_SUCCESS);
  NT_EXPECT_EQ(KeReadStateSemaphore(&semaphore), 3);
  NT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

NT_TEST(KeMutex, WrongUsesRaise) {
  KMUTANT mutant;
  KeInitializeMutant(&mutant, FALSE);
  NT_EXPECT_EQ(RaisedByMutantRelease(&mutant), STATUS_MUTANT_NOT_OWNED);
  NT_EXPECT_EQ(RaisedByWait(&mutant), STATUS_SUCCESS);
  mutant.Header.SignalState = MINLONG;  // as after 2^31 waits
  NT_EXPECT_EQ(RaisedByWait(&mutant), STATUS_MUTANT_LIMIT_EXCEEDED);
  NT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
  mutant.Header.SignalState = 0;
  KeReleaseMutant(&mutant, 0, TRUE, FALSE);
  NT_EXPECT_EQ(RaisedByMutantRelease(&mutant), STATUS_ABANDONED);
}

NT_TEST(KeMutex, AMutexDisablesNormalApcsAMutantDoesNot) {
  KMUTEX mutex;
  KeInitializeMutex(&mutex, 0);
  NT_EXPECT_EQ(Poll(&mutex), STATUS_WAIT_0);
  NT_EXPECT_TRUE(KeAreApcsDisabled());
  KeReleaseMutex(&mutex, FALSE);
  NT_EXPECT_TRUE(!KeAreApcsDisabled());
  KMUTANT mutant;
  KeInitializeMutant(&mutant, FALSE);
  NT_EXPECT_EQ(KeWaitForMutexObject(&mutant, Executive, KernelMode, FALSE, nullptr), STATUS_WAIT_0);
  NT_EXPECT_TRUE(!KeAreApcsDisabled());
  KeReleaseMutant(&mutant, 0, FALSE, FALSE);
}

NT_TEST(KeWait, AllAreTakenBySignalThatCompletesThem) {
  KEVENT event;
  KSEMAPHORE semaphore;
  KTIMER timer;
  KeInitializeEvent(&event, SynchronizationEvent, FALSE);
  KeInitializeSemaphore(&semaphore, 0, 5);
  KeInitializeTimerEx(&timer, SynchronizationTimer);
  Waiter waiter;
  waiter.objects[0] = &event, waiter.objects[1] = &semaphore, waiter.objects[2] = &timer;
  waiter.count = 3, waiter.type = WaitAll;
  Thread thread(Waiter::Run, &waiter);
  AwaitWaiter(&timer);
  KeSetEvent(&event, 0, FALSE);
  LARGE_INTEGER past;
  past.QuadPart = 1;
  KeSetTimer(&timer, past, nullptr);
  NT_EXPECT_EQ(KeReadStateEvent(&event), 1);
  while (!KeReadStateTimer(&timer)) Sleep(1);
  KeReleaseSemaphore(&semaphore, 0, 2, FALSE);
  NT_EXPECT_EQ(KeReadStateEvent(&event), 0);
  NT_EXPECT_EQ(KeReadStateSemaphore(&semaphore), 1);
  NT_EXPECT_TRUE(!KeReadStateTimer(&timer));
  thread.Join();
  NT_EXPECT_EQ(waiter.status, STATUS_WAIT_0);
}

NT_TEST(KeWait, AnyOf64TakesTheLowestThatIsSignalled) {
  struct Many {
    KEVENT events[MAXIMUM_WAIT_OBJECTS];
    PVOID objects[MAXIMUM_WAIT_OBJECTS];
    KWAIT_BLOCK blocks[MAXIMUM_WAIT_OBJECTS];
  };
  auto* many = static_cast<Many*>(ExAllocatePoolWithTag(NonPagedPool, sizeof(Many), 'tseT'));
  NT_ASSERT_TRUE(many != nullptr);
  for (ULONG i = 0; i < MAXIMUM_WAIT_OBJECTS; ++i) {
    KeInitializeEvent(&many->events[i], SynchronizationEvent, FALSE);
    many->objects[i] = &many->events[i];
  }
  LARGE_INTEGER soon = Milliseconds(2);
  NT_EXPECT_EQ(KeWaitForMultipleObjects(MAXIMUM_WAIT_OBJECTS, many->objects, WaitAny, Executive, KernelMode,
                                        FALSE, &soon, many->blocks),
               STATUS_TIMEOUT);
  KeSetEvent(&many->events[63], 0, FALSE);
  KeSetEvent(&many->events[17], 0, FALSE);
  NT_EXPECT_EQ(KeWaitForMultipleObjects(MAXIMUM_WAIT_OBJECTS, many->objects, WaitAny, Executive, KernelMode,
                                        FALSE, nullptr, many->blocks),
               STATUS_WAIT_0 + 17);
  NT_EXPECT_EQ(KeReadStateEvent(&many->events[17]), 0);
  NT_EXPECT_EQ(KeReadStateEvent(&many->events[63]), 1);
  for (KEVENT& event : many->events) KeSetEvent(&event, 0, FALSE);
  LARGE_INTEGER zero = {};
  NT_EXPECT_EQ(KeWaitForMultipleObjects(MAXIMUM_WAIT_OBJECTS, many->objects, WaitAll, Executive, KernelMode,
                                        FALSE, &zero, many->blocks),
               STATUS_WAIT_0);
  for (KEVENT& event : many->events) NT_EXPECT_TRUE(KeIsWaitListEmpty(&event));
  ExFreePoolWithTag(many, 'tseT');
}

NT_TEST(KeWait, TheSameObjectMayBeWaitedForTwice) {
  KEVENT event;
  KeInitializeEvent(&event, NotificationEvent, FALSE);
  Waiter any, all;
  any.objects[0] = any.objects[1] = all.objects[0] = all.objects[1] = &event;
  any.count = all.count = 2;
  all.type = WaitAll;
  Thread first(Waiter::Run, &any), second(Waiter::Run, &all);
  AwaitWaiter(&event);
  Sleep(2);
  KeSetEvent(&event, 0, FALSE);
  first.Join(), second.Join();
  NT_EXPECT_EQ(any.status, STATUS_WAIT_0);
  NT_EXPECT_EQ(all.status, STATUS_WAIT_0);
  NT_EXPECT_TRUE(KeIsWaitListEmpty(&event));
}

NT_TEST(KeWait, AbsoluteTimeInThePastIsOver) {
  KEVENT event;
  KeInitializeEvent(&event, NotificationEvent, FALSE);
  LARGE_INTEGER when;
  when.QuadPart = 1;
  NT_EXPECT_EQ(KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, &when), STATUS_TIMEOUT);
  KeQuerySystemTime(&when);
  const LONGLONG due = when.QuadPart += 50'000;
  NT_EXPECT_EQ(KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, &when), STATUS_TIMEOUT);
  LARGE_INTEGER now;
  KeQuerySystemTimePrecise(&now);
  NT_EXPECT_TRUE(now.QuadPart >= due);
}

NT_TEST(KeWait, AtDispatchLevelOnlyWithoutTime) {
  KEVENT set, clear;
  KeInitializeEvent(&set, NotificationEvent, TRUE);
  KeInitializeEvent(&clear, NotificationEvent, FALSE);
  KIRQL irql;
  KeRaiseIrql(DISPATCH_LEVEL, &irql);
  const NTSTATUS first = Poll(&set), second = Poll(&clear);
  KeLowerIrql(irql);
  NT_EXPECT_EQ(first, STATUS_WAIT_0);
  NT_EXPECT_EQ(second, STATUS_TIMEOUT);
}

NT_TEST(KeWait, ThreadsAndProcessesAreObjects) {
  Thread thread(ExitAtOnce, nullptr);
  PVOID objects[] = {PsInitialSystemProcess, thread.object()};
  NT_EXPECT_EQ(KeWaitForMultipleObjects(2, objects, WaitAny, Executive, KernelMode, FALSE, nullptr, nullptr),
               STATUS_WAIT_1);
  NT_EXPECT_EQ(Poll(thread.object()), STATUS_WAIT_0);
  NT_EXPECT_EQ(Poll(PsInitialSystemProcess), STATUS_TIMEOUT);
}

NT_TEST(KeAlert, EndsAnAlertableWaitOnly) {
  KEVENT event;
  KeInitializeEvent(&event, NotificationEvent, FALSE);
  Waiter deaf, alertable;
  deaf.objects[0] = alertable.objects[0] = &event;
  alertable.alertable = TRUE;
  Thread first(Waiter::Run, &deaf), second(Waiter::Run, &alertable);
  AwaitWaiter(&event);
  NT_EXPECT_TRUE(!KeAlertThread(KernelThread(first), KernelMode));
  NT_EXPECT_TRUE(!KeAlertThread(KernelThread(second), KernelMode));
  second.Join();
  NT_EXPECT_EQ(alertable.status, STATUS_ALERTED);
  NT_EXPECT_EQ(deaf.status, STATUS_PENDING);
  KeSetEvent(&event, 0, FALSE);
  first.Join();
  NT_EXPECT_EQ(deaf.status, STATUS_WAIT_0);
}

NT_TEST(KeAlert, IsKeptForTheNextAlertableWait) {
  PKTHREAD self = KeGetCurrentThread();
  NT_EXPECT_TRUE(!KeAlertThread(self, UserMode));
  NT_EXPECT_TRUE(KeAlertThread(self, UserMode));
  NT_EXPECT_TRUE(KeTestAlertThread(UserMode));
  NT_EXPECT_TRUE(!KeTestAlertThread(UserMode));
  LARGE_INTEGER long_time = Milliseconds(100'000), short_time = Milliseconds(1);
  KeAlertThread(self, UserMode);
  NT_EXPECT_EQ(KeDelayExecutionThread(KernelMode, TRUE, &short_time),
               STATUS_SUCCESS);  // that mode is not alerted
  NT_EXPECT_EQ(KeDelayExecutionThread(UserMode, TRUE, &long_time), STATUS_ALERTED);
  KeAlertThread(self, KernelMode);
  NT_EXPECT_EQ(KeDelayExecutionThread(UserMode, TRUE, &long_time), STATUS_ALERTED);
  NT_EXPECT_TRUE(!KeTestAlertThread(KernelMode));
}

namespace {

struct TwoWorkers {
  KQUEUE queue;
  LIST_ENTRY entries[2];
  KEVENT first_may_wait;
  volatile LONG running, most, taken;

  static VOID NTAPI Run(PVOID context) {
    auto* self = static_cast<TwoWorkers*>(context);
    PLIST_ENTRY entry = KeRemoveQueue(&self->queue, KernelMode, nullptr);
    const LONG now = InterlockedIncrement(&self->running);
    if (now > self->most) self->most = now;
    InterlockedIncrement(&self->taken);
    if (entry == &self->entries[0]) {
      while (KeReadStateEvent(&self->first_may_wait) == 0) YieldProcessor();  // busy, so it counts
      InterlockedDecrement(&self->running);
      while (self->taken < 2) Sleep(1);  // waits: the other one gets its turn
    } else {
      InterlockedDecrement(&self->running);
    }
  }
};

struct Rundown {
  KQUEUE queue;
  volatile LONG_PTR result;
  static VOID NTAPI Run(PVOID context) {
    auto* self = static_cast<Rundown*>(context);
    self->result = reinterpret_cast<LONG_PTR>(KeRemoveQueue(&self->queue, KernelMode, nullptr));
  }
};

}  // namespace

NT_TEST(KeQueue, OneAtATimeUntilItWaits) {
  TwoWorkers shared = {};
  KeInitializeQueue(&shared.queue, 1);
  KeInitializeEvent(&shared.first_may_wait, NotificationEvent, FALSE);
  Thread first(TwoWorkers::Run, &shared), second(TwoWorkers::Run, &shared);
  KeInsertQueue(&shared.queue, &shared.entries[0]);
  KeInsertQueue(&shared.queue, &shared.entries[1]);
  while (shared.taken == 0) Sleep(1);
  if (KeQueryActiveProcessorCount(nullptr) > 1) Sleep(5);
  NT_EXPECT_EQ(shared.taken, 1);
  KeSetEvent(&shared.first_may_wait, 0, FALSE);
  first.Join(), second.Join();
  NT_EXPECT_EQ(shared.taken, 2);
  NT_EXPECT_EQ(shared.most, 1);
  NT_EXPECT_TRUE(KeRundownQueue(&shared.queue) == nullptr);
}

NT_TEST(KeQueue, HeadGoesFirstAndSeveralComeAtOnce) {
  KQUEUE queue;
  LIST_ENTRY entries[3];
  PLIST_ENTRY taken[4] = {};
  KeInitializeQueue(&queue, 0);
  NT_EXPECT_EQ(KeInsertQueue(&queue, &entries[0]), 0);
  NT_EXPECT_EQ(KeInsertQueue(&queue, &entries[1]), 1);
  NT_EXPECT_EQ(KeInsertHeadQueue(&queue, &entries[2]), 2);
  NT_EXPECT_EQ(KeReadStateQueue(&queue), 3);
  NT_EXPECT_TRUE(KeRemoveQueue(&queue, KernelMode, nullptr) == &entries[2]);
  NT_EXPECT_EQ(KeRemoveQueueEx(&queue, KernelMode, FALSE, nullptr, taken, 4), 2);
  NT_EXPECT_TRUE(taken[0] == &entries[0] && taken[1] == &entries[1]);
  LARGE_INTEGER zero = {};
  NT_EXPECT_EQ(reinterpret_cast<LONG_PTR>(KeRemoveQueue(&queue, KernelMode, &zero)), STATUS_TIMEOUT);
  KeAlertThread(KeGetCurrentThread(), KernelMode);
  NT_EXPECT_EQ(KeRemoveQueueEx(&queue, KernelMode, TRUE, nullptr, taken, 4), 1);
  NT_EXPECT_EQ(reinterpret_cast<LONG_PTR>(taken[0]), STATUS_ALERTED);
  KeInsertQueue(&queue, &entries[0]);
  KeInsertQueue(&queue, &entries[1]);
  PLIST_ENTRY rest = KeRundownQueue(&queue);
  NT_EXPECT_TRUE(rest == &entries[0] && rest->Flink == &entries[1] && rest->Flink->Flink == rest);
}

NT_TEST(KeQueue, RundownLetsWaitersGo) {
  Rundown shared = {};
  KeInitializeQueue(&shared.queue, 0);
  Thread thread(Rundown::Run, &shared);
  AwaitWaiter(&shared.queue);
  KeRundownQueue(&shared.queue);
  thread.Join();
  NT_EXPECT_EQ(shared.result, STATUS_ABANDONED);
}
