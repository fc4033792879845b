// Events, waits, timers, DPCs, spin locks and IRQL as a driver sees them. Oracle: the WDK pages of the
// routines; not yet run on a real NT.
#include "nt_test.h"
#include "threads.h"

using nt_test::Milliseconds;
using nt_test::Thread;

namespace {

NTSTATUS WaitFor(PVOID object, LONGLONG milliseconds) {
  LARGE_INTEGER timeout = Milliseconds(milliseconds);
  return KeWaitForSingleObject(object, Executive, KernelMode, FALSE, &timeout);
}

}  // namespace

NT_TEST(KeIrql, RaiseAndLowerAreSeen) {
  KIRQL old;
  KeRaiseIrql(DISPATCH_LEVEL, &old);
  const KIRQL raised = KeGetCurrentIrql();
  KeLowerIrql(old);
  NT_EXPECT_EQ(old, PASSIVE_LEVEL);
  NT_EXPECT_EQ(raised, DISPATCH_LEVEL);
  NT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

NT_TEST(KeEvent, SetAndResetReturnThePreviousState) {
  KEVENT event;
  KeInitializeEvent(&event, NotificationEvent, FALSE);
  NT_EXPECT_EQ(KeReadStateEvent(&event), 0);
  NT_EXPECT_EQ(KeSetEvent(&event, IO_NO_INCREMENT, FALSE), 0);
  NT_EXPECT_EQ(KeSetEvent(&event, IO_NO_INCREMENT, FALSE), 1);
  NT_EXPECT_EQ(KeResetEvent(&event), 1);
  NT_EXPECT_EQ(KeResetEvent(&event), 0);
  KeSetEvent(&event, IO_NO_INCREMENT, FALSE);
  KeClearEvent(&event);
  NT_EXPECT_EQ(KeReadStateEvent(&event), 0);
}

NT_TEST(KeWait, NotificationEventStaysSet) {
  KEVENT event;
  KeInitializeEvent(&event, NotificationEvent, TRUE);
  NT_EXPECT_EQ(WaitFor(&event, 1000), STATUS_SUCCESS);
  NT_EXPECT_EQ(WaitFor(&event, 1000), STATUS_SUCCESS);
}

NT_TEST(KeWait, SynchronizationEventIsConsumed) {
  KEVENT event;
  KeInitializeEvent(&event, SynchronizationEvent, TRUE);
  NT_EXPECT_EQ(WaitFor(&event, 1000), STATUS_SUCCESS);
  NT_EXPECT_EQ(WaitFor(&event, 5), STATUS_TIMEOUT);
}

NT_TEST(KeWait, ZeroTimeoutDoesNotBlock) {
  KEVENT event;
  KeInitializeEvent(&event, SynchronizationEvent, FALSE);
  LARGE_INTEGER zero = {};
  NT_EXPECT_EQ(KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, &zero), STATUS_TIMEOUT);
}

NT_TEST(KeWait, DelayTakesAtLeastTheInterval) {
  LARGE_INTEGER frequency;
  const LARGE_INTEGER before = KeQueryPerformanceCounter(&frequency);
  nt_test::Sleep(50);
  const LARGE_INTEGER after = KeQueryPerformanceCounter(nullptr);
  // A delay may end up to one clock tick (15.6 ms) early, since due times are counted in ticks.
  NT_EXPECT_TRUE((after.QuadPart - before.QuadPart) * 1000 / frequency.QuadPart >= 34);
}

NT_TEST(KeWait, MultipleAnyReturnsTheIndex) {
  KEVENT events[3];
  PVOID objects[3];
  for (int i = 0; i < 3; ++i) {
    KeInitializeEvent(&events[i], SynchronizationEvent, FALSE);
    objects[i] = &events[i];
  }
  KeSetEvent(&events[2], IO_NO_INCREMENT, FALSE);
  LARGE_INTEGER timeout = Milliseconds(1000);
  NT_EXPECT_EQ(KeWaitForMultipleObjects(3, objects, WaitAny, Executive, KernelMode, FALSE, &timeout, nullptr),
               STATUS_WAIT_0 + 2);
  timeout = Milliseconds(5);
  NT_EXPECT_EQ(KeWaitForMultipleObjects(3, objects, WaitAny, Executive, KernelMode, FALSE, &timeout, nullptr),
               STATUS_TIMEOUT);
}

NT_TEST(KeWait, MultipleAllTakesAllOrNothing) {
  KEVENT first, second;
  KeInitializeEvent(&first, SynchronizationEvent, TRUE);
  KeInitializeEvent(&second, SynchronizationEvent, FALSE);
  PVOID objects[] = {&first, &second};
  LARGE_INTEGER timeout = Milliseconds(5);
  NT_EXPECT_EQ(KeWaitForMultipleObjects(2, objects, WaitAll, Executive, KernelMode, FALSE, &timeout, nullptr),
               STATUS_TIMEOUT);
  NT_EXPECT_EQ(KeReadStateEvent(&first), 1);
  KeSetEvent(&second, IO_NO_INCREMENT, FALSE);
  timeout = Milliseconds(1000);
  NT_EXPECT_EQ(KeWaitForMultipleObjects(2, objects, WaitAll, Executive, KernelMode, FALSE, &timeout, nullptr),
               STATUS_SUCCESS);
  NT_EXPECT_EQ(KeReadStateEvent(&first), 0);
}

namespace {

struct PingPong {
  KEVENT ping, pong;
  LONG rounds;
};

void Ponger(PVOID context) {
  auto* game = static_cast<PingPong*>(context);
  for (int i = 0; i < 200; ++i) {
    KeWaitForSingleObject(&game->ping, Executive, KernelMode, FALSE, nullptr);
    ++game->rounds;
    KeSetEvent(&game->pong, IO_NO_INCREMENT, FALSE);
  }
  PsTerminateSystemThread(STATUS_SUCCESS);
}

}  // namespace

NT_TEST(KeWait, TwoThreadsHandOverToEachOther) {
  PingPong game = {};
  KeInitializeEvent(&game.ping, SynchronizationEvent, FALSE);
  KeInitializeEvent(&game.pong, SynchronizationEvent, FALSE);
  Thread thread(Ponger, &game);
  NT_ASSERT_TRUE(thread.started());
  for (int i = 0; i < 200; ++i) {
    KeSetEvent(&game.ping, IO_NO_INCREMENT, FALSE);
    if (WaitFor(&game.pong, 5000) != STATUS_SUCCESS) {
      NT_EXPECT_EQ(i, 200);
      for (; i < 200; ++i) KeSetEvent(&game.ping, IO_NO_INCREMENT, FALSE);
    }
  }
  thread.Join();
  NT_EXPECT_EQ(game.rounds, 200);
}

NT_TEST(KeSemaphore, CountsAndLimits) {
  KSEMAPHORE semaphore;
  KeInitializeSemaphore(&semaphore, 1, 3);
  NT_EXPECT_EQ(KeReadStateSemaphore(&semaphore), 1);
  NT_EXPECT_EQ(KeReleaseSemaphore(&semaphore, IO_NO_INCREMENT, 2, FALSE), 1);
  for (int i = 0; i < 3; ++i) NT_EXPECT_EQ(WaitFor(&semaphore, 1000), STATUS_SUCCESS);
  NT_EXPECT_EQ(WaitFor(&semaphore, 5), STATUS_TIMEOUT);
}

NT_TEST(KeMutex, OwnerMayTakeItAgain) {
  KMUTEX mutex;
  KeInitializeMutex(&mutex, 0);
  NT_EXPECT_EQ(KeReadStateMutex(&mutex), 1);
  NT_EXPECT_EQ(WaitFor(&mutex, 1000), STATUS_SUCCESS);
  NT_EXPECT_EQ(WaitFor(&mutex, 1000), STATUS_SUCCESS);
  NT_EXPECT_EQ(KeReadStateMutex(&mutex), -1);
  NT_EXPECT_EQ(KeReleaseMutex(&mutex, FALSE), -1);
  NT_EXPECT_EQ(KeReleaseMutex(&mutex, FALSE), 0);
  NT_EXPECT_EQ(KeReadStateMutex(&mutex), 1);
}

namespace {

struct Counting {
  KSPIN_LOCK lock;
  KMUTEX mutex;
  LONG count;
};

constexpr LONG kRounds = 2000;

void CountUnderSpinLock(PVOID context) {
  auto* counting = static_cast<Counting*>(context);
  for (LONG i = 0; i < kRounds; ++i) {
    KIRQL old;
    KeAcquireSpinLock(&counting->lock, &old);
    // Not an atomic increment: only the lock makes the sum right.
    *static_cast<volatile LONG*>(&counting->count) = *static_cast<volatile LONG*>(&counting->count) + 1;
    KeReleaseSpinLock(&counting->lock, old);
  }
  PsTerminateSystemThread(STATUS_SUCCESS);
}

void CountUnderMutex(PVOID context) {
  auto* counting = static_cast<Counting*>(context);
  for (LONG i = 0; i < kRounds / 10; ++i) {
    KeWaitForSingleObject(&counting->mutex, Executive, KernelMode, FALSE, nullptr);
    *static_cast<volatile LONG*>(&counting->count) = *static_cast<volatile LONG*>(&counting->count) + 1;
    KeReleaseMutex(&counting->mutex, FALSE);
  }
  PsTerminateSystemThread(STATUS_SUCCESS);
}

}  // namespace

NT_TEST(KeMutex, ThreadsExcludeEachOther) {
  Counting counting = {};
  KeInitializeMutex(&counting.mutex, 0);
  {
    Thread a(CountUnderMutex, &counting), b(CountUnderMutex, &counting), c(CountUnderMutex, &counting);
    NT_EXPECT_TRUE(a.started() && b.started() && c.started());
  }
  NT_EXPECT_EQ(counting.count, 3 * (kRounds / 10));
}

NT_TEST(KeSpinLock, ThreadsExcludeEachOther) {
  Counting counting = {};
  KeInitializeSpinLock(&counting.lock);
  {
    Thread a(CountUnderSpinLock, &counting), b(CountUnderSpinLock, &counting),
        c(CountUnderSpinLock, &counting);
    NT_EXPECT_TRUE(a.started() && b.started() && c.started());
  }
  NT_EXPECT_EQ(counting.count, 3 * kRounds);
}

NT_TEST(KeSpinLock, AcquireRaisesAndReleaseRestores) {
  KSPIN_LOCK lock;
  KIRQL old;
  KeInitializeSpinLock(&lock);
  KeAcquireSpinLock(&lock, &old);
  const KIRQL held = KeGetCurrentIrql();
  const bool taken_again = KeTryToAcquireSpinLockAtDpcLevel(&lock);
  KeReleaseSpinLock(&lock, old);
  NT_EXPECT_EQ(held, DISPATCH_LEVEL);
  NT_EXPECT_EQ(old, PASSIVE_LEVEL);
  NT_EXPECT_TRUE(!taken_again);
  NT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

NT_TEST(KeSpinLock, AtDpcLevelLeavesTheIrqlAlone) {
  KSPIN_LOCK lock;
  KIRQL old;
  KeInitializeSpinLock(&lock);
  KeRaiseIrql(DISPATCH_LEVEL, &old);
  KeAcquireSpinLockAtDpcLevel(&lock);
  const bool taken_again = KeTryToAcquireSpinLockAtDpcLevel(&lock);
  KeReleaseSpinLockFromDpcLevel(&lock);
  const bool taken = KeTryToAcquireSpinLockAtDpcLevel(&lock);
  if (taken) KeReleaseSpinLockFromDpcLevel(&lock);
  const KIRQL irql = KeGetCurrentIrql();
  KeLowerIrql(old);
  NT_EXPECT_TRUE(!taken_again);
  NT_EXPECT_TRUE(taken);
  NT_EXPECT_EQ(irql, DISPATCH_LEVEL);
}

namespace {

struct DpcSeen {
  KEVENT done;
  KIRQL irql;
  PVOID first, second;
  LONG runs;
};

void RecordDpc(PKDPC, PVOID context, PVOID first, PVOID second) {
  auto* seen = static_cast<DpcSeen*>(context);
  seen->irql = KeGetCurrentIrql();
  seen->first = first;
  seen->second = second;
  InterlockedIncrement(&seen->runs);
  KeSetEvent(&seen->done, IO_NO_INCREMENT, FALSE);
}

}  // namespace

NT_TEST(KeDpc, RunsAtDispatchLevelWithItsArguments) {
  DpcSeen seen = {};
  KDPC dpc;
  KeInitializeEvent(&seen.done, SynchronizationEvent, FALSE);
  KeInitializeDpc(&dpc, RecordDpc, &seen);
  NT_EXPECT_TRUE(KeInsertQueueDpc(&dpc, reinterpret_cast<PVOID>(1), reinterpret_cast<PVOID>(2)));
  NT_EXPECT_EQ(WaitFor(&seen.done, 5000), STATUS_SUCCESS);
  NT_EXPECT_EQ(seen.irql, DISPATCH_LEVEL);
  NT_EXPECT_EQ(reinterpret_cast<ULONG_PTR>(seen.first), 1);
  NT_EXPECT_EQ(reinterpret_cast<ULONG_PTR>(seen.second), 2);
}

NT_TEST(KeDpc, QueuedTwiceRunsOnce) {
  DpcSeen seen = {};
  KDPC dpc;
  KIRQL old;
  KeInitializeEvent(&seen.done, SynchronizationEvent, FALSE);
  KeInitializeDpc(&dpc, RecordDpc, &seen);
  // At DISPATCH_LEVEL the processor's DPCs wait, so the second insertion finds the DPC queued.
  KeRaiseIrql(DISPATCH_LEVEL, &old);
  const BOOLEAN first = KeInsertQueueDpc(&dpc, nullptr, nullptr);
  const BOOLEAN second = KeInsertQueueDpc(&dpc, nullptr, nullptr);
  KeLowerIrql(old);
  NT_EXPECT_EQ(WaitFor(&seen.done, 5000), STATUS_SUCCESS);
  NT_EXPECT_TRUE(first && !second);
  NT_EXPECT_EQ(seen.runs, 1);
}

NT_TEST(KeDpc, RemovedBeforeItRunsNeverRuns) {
  DpcSeen seen = {};
  KDPC dpc;
  KIRQL old;
  KeInitializeEvent(&seen.done, SynchronizationEvent, FALSE);
  KeInitializeDpc(&dpc, RecordDpc, &seen);
  KeRaiseIrql(DISPATCH_LEVEL, &old);
  KeInsertQueueDpc(&dpc, nullptr, nullptr);
  const BOOLEAN removed = KeRemoveQueueDpc(&dpc);
  KeLowerIrql(old);
  NT_EXPECT_TRUE(removed);
  NT_EXPECT_EQ(WaitFor(&seen.done, 30), STATUS_TIMEOUT);
  NT_EXPECT_EQ(seen.runs, 0);
}

NT_TEST(KeTimer, OneShotSignalsOnceAndRunsItsDpc) {
  DpcSeen seen = {};
  KTIMER timer;
  KDPC dpc;
  KeInitializeEvent(&seen.done, SynchronizationEvent, FALSE);
  KeInitializeDpc(&dpc, RecordDpc, &seen);
  KeInitializeTimerEx(&timer, SynchronizationTimer);
  NT_EXPECT_TRUE(!KeSetTimer(&timer, Milliseconds(20), &dpc));
  NT_EXPECT_EQ(WaitFor(&timer, 5000), STATUS_SUCCESS);
  NT_EXPECT_EQ(WaitFor(&seen.done, 5000), STATUS_SUCCESS);
  NT_EXPECT_EQ(WaitFor(&timer, 40), STATUS_TIMEOUT);
  NT_EXPECT_EQ(seen.runs, 1);
}

NT_TEST(KeTimer, CancelledBeforeItsTimeNeverFires) {
  KTIMER timer;
  KeInitializeTimer(&timer);
  NT_EXPECT_TRUE(!KeSetTimer(&timer, Milliseconds(60000), nullptr));
  NT_EXPECT_TRUE(KeSetTimer(&timer, Milliseconds(60000), nullptr));
  NT_EXPECT_TRUE(KeCancelTimer(&timer));
  NT_EXPECT_TRUE(!KeCancelTimer(&timer));
  NT_EXPECT_TRUE(!KeReadStateTimer(&timer));
}

NT_TEST(KeTimer, PeriodicFiresUntilCancelled) {
  KTIMER timer;
  KeInitializeTimerEx(&timer, SynchronizationTimer);
  KeSetTimerEx(&timer, Milliseconds(5), 5, nullptr);
  for (int i = 0; i < 4; ++i) NT_EXPECT_EQ(WaitFor(&timer, 5000), STATUS_SUCCESS);
  KeCancelTimer(&timer);
}

NT_TEST(KeTime, RunsForward) {
  LARGE_INTEGER before, after, ticks_before, ticks_after;
  KeQuerySystemTime(&before);
  KeQueryTickCount(&ticks_before);
  const ULONGLONG interrupt_before = KeQueryInterruptTime();
  nt_test::Sleep(50);
  KeQuerySystemTime(&after);
  KeQueryTickCount(&ticks_after);
  NT_EXPECT_TRUE(after.QuadPart > before.QuadPart);
  NT_EXPECT_TRUE(ticks_after.QuadPart > ticks_before.QuadPart);
  NT_EXPECT_TRUE(KeQueryInterruptTime() > interrupt_before);
  NT_EXPECT_TRUE(KeQueryTimeIncrement() > 0 && KeQueryTimeIncrement() < 200000);
}

NT_TEST(KeProcessor, AffinityMovesTheThread) {
  const KAFFINITY active = KeQueryActiveProcessors();
  NT_EXPECT_TRUE(active != 0);
  for (ULONG number = 0; number < 32; ++number) {
    if (((active >> number) & 1) == 0) continue;
    KeSetSystemAffinityThread(static_cast<KAFFINITY>(1) << number);
    NT_EXPECT_EQ(KeGetCurrentProcessorNumber(), number);
  }
  KeRevertToUserAffinityThread();
}
