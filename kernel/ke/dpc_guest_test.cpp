// DPCs: importance, order, targets, threaded ones, flushing, the call on all processors. Oracle: the WDK
// pages and "Organization of DPC Queues"; not yet run on a real NT.
#include "nt_test.h"
#include "threads.h"

using nt_test::Milliseconds;
using nt_test::Sleep;

namespace {

constexpr ULONG kMost = 8;
constexpr KDPC_IMPORTANCE kImportances[] = {LowImportance, MediumImportance, MediumHighImportance,
                                            HighImportance};

struct Order {
  KDPC dpcs[kMost];
  volatile LONG next;
  LONG ran[kMost];  // index of the DPC that ran n-th
};

void NoteOrder(PKDPC dpc, PVOID context, PVOID, PVOID) {
  auto* order = static_cast<Order*>(context);
  order->ran[InterlockedIncrement(&order->next) - 1] = static_cast<LONG>(dpc - order->dpcs);
}

struct Seen {
  KEVENT done;
  volatile LONG runs;
  LONG irql;
  ULONG processor;
  PKTHREAD thread;
  KPRIORITY priority;
};

void See(PKDPC, PVOID context, PVOID, PVOID) {
  auto* seen = static_cast<Seen*>(context);
  seen->irql = KeGetCurrentIrql();
  seen->processor = KeGetCurrentProcessorNumberEx(nullptr);
  seen->thread = KeGetCurrentThread();
  if (seen->irql == PASSIVE_LEVEL) seen->priority = KeQueryPriorityThread(seen->thread);
  InterlockedIncrement(&seen->runs);
  KeSetEvent(&seen->done, IO_NO_INCREMENT, FALSE);
}

void Count(PKDPC, PVOID context, PVOID, PVOID) {
  InterlockedIncrement(static_cast<volatile LONG*>(context));
}

NTSTATUS WaitFor(PVOID object, LONGLONG milliseconds) {
  LARGE_INTEGER timeout = Milliseconds(milliseconds);
  return KeWaitForSingleObject(object, Executive, KernelMode, FALSE, &timeout);
}

struct Slow {
  KDPC dpc;
  volatile LONG bound, entered, release, left;
};
void WaitForRelease(PKDPC, PVOID context, PVOID, PVOID) {
  auto* slow = static_cast<Slow*>(context);
  slow->entered = 1;
  while (slow->release == 0) YieldProcessor();
  slow->left = 1;
}

// Not on the DPC's processor, where it would wait for the DPC.
VOID NTAPI ReleaseLater(PVOID context) {
  auto* slow = static_cast<Slow*>(context);
  KeSetSystemAffinityThread(1);
  slow->bound = 1;
  while (slow->entered == 0) Sleep(1);
  Sleep(20);
  slow->release = 1;
}

}  // namespace

NT_TEST(KeDpc, HighImportanceGoesToTheHeadTheOthersToTheEnd) {
  Order order = {};
  const KDPC_IMPORTANCE importance[] = {MediumImportance, LowImportance, HighImportance, MediumHighImportance,
                                        HighImportance};
  KIRQL old;
  KeRaiseIrql(DISPATCH_LEVEL, &old);
  for (ULONG i = 0; i < 5; ++i) {
    KeInitializeDpc(&order.dpcs[i], NoteOrder, &order);
    KeSetImportanceDpc(&order.dpcs[i], importance[i]);
    KeInsertQueueDpc(&order.dpcs[i], nullptr, nullptr);
  }
  KeLowerIrql(old);
  KeFlushQueuedDpcs();
  const LONG expected[] = {4, 2, 0, 1, 3};
  NT_EXPECT_EQ(order.next, 5);
  for (ULONG i = 0; i < 5; ++i) NT_EXPECT_EQ(order.ran[i], expected[i]);
}

// However long it may be put off, a DPC of low importance runs without anybody's help.
NT_TEST(KeDpc, LowImportanceRunsInTheEnd) {
  Seen seen = {};
  KDPC dpc;
  KeInitializeEvent(&seen.done, NotificationEvent, FALSE);
  KeInitializeDpc(&dpc, See, &seen);
  KeSetImportanceDpc(&dpc, LowImportance);
  NT_EXPECT_TRUE(KeInsertQueueDpc(&dpc, nullptr, nullptr));
  NT_EXPECT_EQ(WaitFor(&seen.done, 60'000), STATUS_SUCCESS);
}

NT_TEST(KeDpc, EachImportanceReachesEveryProcessor) {
  for (ULONG i = 0; i < KeQueryActiveProcessorCount(nullptr); ++i) {
    for (const KDPC_IMPORTANCE importance : kImportances) {
      Seen seen = {};
      KDPC dpc;
      PROCESSOR_NUMBER number = {};
      number.Number = static_cast<UCHAR>(i);
      KeInitializeEvent(&seen.done, NotificationEvent, FALSE);
      KeInitializeDpc(&dpc, See, &seen);
      KeSetImportanceDpc(&dpc, importance);
      NT_EXPECT_EQ(KeSetTargetProcessorDpcEx(&dpc, &number), STATUS_SUCCESS);
      KeInsertQueueDpc(&dpc, nullptr, nullptr);
      NT_EXPECT_EQ(WaitFor(&seen.done, 60'000), STATUS_SUCCESS);
      NT_EXPECT_EQ(seen.processor, i);
      NT_EXPECT_EQ(seen.irql, DISPATCH_LEVEL);
    }
  }
}

NT_TEST(KeDpc, ATargetThatDoesNotExistIsRefused) {
  KDPC dpc;
  KeInitializeDpc(&dpc, Count, nullptr);
  PROCESSOR_NUMBER number = {};
  number.Number = 255;
  NT_EXPECT_EQ(KeSetTargetProcessorDpcEx(&dpc, &number), STATUS_INVALID_PARAMETER);
  number = {};
  number.Group = 1;
  NT_EXPECT_EQ(KeSetTargetProcessorDpcEx(&dpc, &number), STATUS_INVALID_PARAMETER);
}

NT_TEST(KeDpc, FlushReturnsWhenAllHaveRun) {
  volatile LONG count = 0;
  KDPC dpcs[kMost];
  const ULONG processors = KeQueryActiveProcessorCount(nullptr);
  for (int round = 0; round < 20; ++round) {
    count = 0;
    for (ULONG i = 0; i < kMost; ++i) {
      if (i & 1) {
        KeInitializeThreadedDpc(&dpcs[i], Count, const_cast<LONG*>(&count));
      } else {
        KeInitializeDpc(&dpcs[i], Count, const_cast<LONG*>(&count));
      }
      KeSetImportanceDpc(&dpcs[i], LowImportance);
      KeSetTargetProcessorDpc(&dpcs[i], static_cast<CCHAR>(i % processors));
      KeInsertQueueDpc(&dpcs[i], nullptr, nullptr);
    }
    KeFlushQueuedDpcs();
    NT_EXPECT_EQ(count, static_cast<LONG>(kMost));
  }
}

// With WaitIfActive the routine has returned, also where it ran on another processor.
NT_TEST(KeDpc, RemoveExWaitsForARunningRoutine) {
  const ULONG processors = KeQueryActiveProcessorCount(nullptr);
  if (processors < 2) {  // nobody could see it run
    KDPC dpc;
    KeInitializeDpc(&dpc, Count, nullptr);
    NT_EXPECT_TRUE(!KeRemoveQueueDpcEx(&dpc, TRUE));
    return;
  }
  Slow slow = {};
  KeSetSystemAffinityThread(1);
  KeInitializeDpc(&slow.dpc, WaitForRelease, &slow);
  KeSetTargetProcessorDpc(&slow.dpc, 1);
  KeSetImportanceDpc(&slow.dpc, HighImportance);
  nt_test::Thread releaser(ReleaseLater, &slow);
  while (slow.bound == 0) Sleep(1);
  KeInsertQueueDpc(&slow.dpc, nullptr, nullptr);
  while (slow.entered == 0) Sleep(1);
  NT_EXPECT_TRUE(!KeRemoveQueueDpcEx(&slow.dpc, TRUE));
  NT_EXPECT_EQ(slow.left, 1);
  releaser.Join();
  KeRevertToUserAffinityThread();
}

NT_TEST(KeThreadedDpc, RunsAtPassiveLevelInAThreadOfTheHighestPriority) {
  for (ULONG i = 0; i < KeQueryActiveProcessorCount(nullptr); ++i) {
    Seen seen = {};
    KDPC dpc;
    KeInitializeEvent(&seen.done, NotificationEvent, FALSE);
    KeInitializeThreadedDpc(&dpc, See, &seen);
    KeSetTargetProcessorDpc(&dpc, static_cast<CCHAR>(i));
    NT_EXPECT_TRUE(KeInsertQueueDpc(&dpc, nullptr, nullptr));
    NT_EXPECT_EQ(WaitFor(&seen.done, 60'000), STATUS_SUCCESS);
    NT_EXPECT_EQ(seen.irql, PASSIVE_LEVEL);
    NT_EXPECT_EQ(seen.priority, HIGH_PRIORITY);
    NT_EXPECT_EQ(seen.processor, i);
    NT_EXPECT_TRUE(seen.thread != KeGetCurrentThread());
  }
}

NT_TEST(KeThreadedDpc, QueuedTwiceRunsOnceAndCanBeRemoved) {
  Seen seen = {};
  KDPC dpc;
  KIRQL old;
  KeInitializeEvent(&seen.done, NotificationEvent, FALSE);
  KeInitializeThreadedDpc(&dpc, See, &seen);
  KeRaiseIrql(DISPATCH_LEVEL, &old);  // its thread cannot run here
  KeSetTargetProcessorDpc(&dpc, static_cast<CCHAR>(KeGetCurrentProcessorNumberEx(nullptr)));
  const BOOLEAN first = KeInsertQueueDpc(&dpc, nullptr, nullptr);
  const BOOLEAN second = KeInsertQueueDpc(&dpc, nullptr, nullptr);
  const BOOLEAN removed = KeRemoveQueueDpc(&dpc);
  const BOOLEAN third = KeInsertQueueDpc(&dpc, nullptr, nullptr);
  KeLowerIrql(old);
  KeFlushQueuedDpcs();
  NT_EXPECT_TRUE(first && !second && removed && third);
  NT_EXPECT_EQ(seen.runs, 1);
}

NT_TEST(KeDpcWatchdog, TellsWhatIsLeftInADpcOnly) {
  struct Result {
    KDPC_WATCHDOG_INFORMATION information;
    NTSTATUS status;
    KEVENT done;
  } result = {};
  KDPC dpc;
  KDPC_WATCHDOG_INFORMATION outside;
  KIRQL old;
  KeRaiseIrql(DISPATCH_LEVEL, &old);
  const NTSTATUS status = KeQueryDpcWatchdogInformation(&outside);
  KeLowerIrql(old);
  NT_EXPECT_EQ(status, STATUS_UNSUCCESSFUL);
  KeInitializeEvent(&result.done, NotificationEvent, FALSE);
  KeInitializeDpc(
      &dpc,
      [](PKDPC, PVOID context, PVOID, PVOID) {
        auto* result = static_cast<Result*>(context);
        result->status = KeQueryDpcWatchdogInformation(&result->information);
        KeSetEvent(&result->done, IO_NO_INCREMENT, FALSE);
      },
      &result);
  KeInsertQueueDpc(&dpc, nullptr, nullptr);
  NT_EXPECT_EQ(WaitFor(&result.done, 60'000), STATUS_SUCCESS);
  NT_EXPECT_EQ(result.status, STATUS_SUCCESS);
  const KDPC_WATCHDOG_INFORMATION& left = result.information;
  NT_EXPECT_TRUE(left.DpcTimeLimit != 0 && left.DpcTimeCount != 0 && left.DpcTimeCount <= left.DpcTimeLimit);
  NT_EXPECT_TRUE(left.DpcWatchdogLimit >= left.DpcTimeLimit && left.DpcWatchdogCount != 0);
}

namespace {

struct Barrier {
  volatile LONG arrived[4];
  volatile LONG early, last;
  LONG processors;
};
void PassBarriers(PKDPC, PVOID context, PVOID argument1, PVOID argument2) {
  auto* barrier = static_cast<Barrier*>(context);
  for (volatile LONG& arrived : barrier->arrived) {
    InterlockedIncrement(&arrived);
    if (KeSignalCallDpcSynchronize(argument2)) InterlockedIncrement(&barrier->last);
    if (arrived != barrier->processors) InterlockedIncrement(&barrier->early);
  }
  KeSignalCallDpcDone(argument1);
}

}  // namespace

NT_TEST(KeGenericDpc, BarriersHoldUntilEveryProcessorIsThere) {
  Barrier barrier = {};
  barrier.processors = static_cast<LONG>(KeQueryActiveProcessorCount(nullptr));
  for (int round = 0; round < 10; ++round) {
    for (volatile LONG& arrived : barrier.arrived) arrived = 0;
    barrier.last = 0;
    KeGenericCallDpc(PassBarriers, &barrier);
    NT_EXPECT_EQ(barrier.last, 4);
    NT_EXPECT_EQ(barrier.early, 0);
    NT_EXPECT_EQ(barrier.arrived[3], barrier.processors);
  }
}
