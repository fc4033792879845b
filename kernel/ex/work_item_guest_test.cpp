// System worker threads. Oracle: the WDK pages; not yet run on a real NT.
#include "nt_test.h"
#include "threads.h"

namespace {

struct Work {
  WORK_QUEUE_ITEM item;
  KEVENT done;
  KEVENT* wait_for;
  KIRQL irql;
  KPRIORITY priority;
  volatile LONG runs;
};

VOID NTAPI Run(PVOID context) {
  auto* work = static_cast<Work*>(context);
  work->irql = KeGetCurrentIrql();
  work->priority = KeQueryPriorityThread(KeGetCurrentThread());
  if (work->wait_for != nullptr) KeWaitForSingleObject(work->wait_for, Executive, KernelMode, FALSE, nullptr);
  InterlockedIncrement(&work->runs);
  KeSetEvent(&work->done, 0, FALSE);
}

void Prepare(Work* work, KEVENT* wait_for = nullptr) {
  *work = {};
  KeInitializeEvent(&work->done, SynchronizationEvent, FALSE);
  ExInitializeWorkItem(&work->item, Run, work);
  work->wait_for = wait_for;
}
void Await(Work* work) {
  KeWaitForSingleObject(&work->done, Executive, KernelMode, FALSE, nullptr);
}

}  // namespace

NT_TEST(ExWorkItem, RunsAtPassiveLevelOnEveryQueue) {
  const struct {
    WORK_QUEUE_TYPE type;
    KPRIORITY priority;
  } queues[] = {
      {CriticalWorkQueue, 13},      {DelayedWorkQueue, 12},
      {HyperCriticalWorkQueue, 15}, {NormalWorkQueue, 8},
      {BackgroundWorkQueue, 7},     {RealTimeWorkQueue, 18},
      {SuperCriticalWorkQueue, 14}, {static_cast<WORK_QUEUE_TYPE>(CustomPriorityWorkQueue + 10), 10}};
  for (const auto& queue : queues) {
    Work work;
    Prepare(&work);
    ExQueueWorkItem(&work.item, queue.type);
    Await(&work);
    NT_EXPECT_EQ(work.irql, PASSIVE_LEVEL);
    NT_EXPECT_TRUE(work.priority >= queue.priority);
    NT_EXPECT_EQ(work.runs, 1);
  }
}

NT_TEST(ExWorkItem, CanBeQueuedAtDispatchLevelAndAgainFromItsRoutine) {
  Work work;
  Prepare(&work);
  KIRQL old;
  KeRaiseIrql(DISPATCH_LEVEL, &old);
  ExQueueWorkItem(&work.item, DelayedWorkQueue);
  KeLowerIrql(old);
  Await(&work);
  NT_EXPECT_TRUE(ExTryQueueWorkItem(&work.item, CriticalWorkQueue));
  Await(&work);
  NT_EXPECT_EQ(work.runs, 2);
}

// Each item waits for the next: with a fixed number of threads this is a deadlock.
NT_TEST(ExWorkItem, ItemsThatWaitForOthersGetMoreThreads) {
  constexpr int kItems = 24;
  static Work works[kItems];
  for (int i = 0; i < kItems; ++i) Prepare(&works[i], i + 1 < kItems ? &works[i + 1].done : nullptr);
  for (auto& work : works) ExQueueWorkItem(&work.item, DelayedWorkQueue);
  Await(&works[0]);
  LONG runs = 0;
  for (auto& work : works) runs += work.runs;
  NT_EXPECT_EQ(runs, kItems);
}

NT_TEST(ExWorkItem, AQueuedItemIsNotQueuedAgain) {
  KEVENT go;
  KeInitializeEvent(&go, NotificationEvent, FALSE);
  // The processor belongs to this thread: nothing takes the item between the two calls.
  Work work;
  Prepare(&work, &go);
  KAFFINITY affinity = KeSetSystemAffinityThreadEx(1);
  LONG accepted = 0;
  for (int i = 0; i < 100; ++i) accepted += ExTryQueueWorkItem(&work.item, BackgroundWorkQueue);
  KeRevertToUserAffinityThreadEx(affinity);
  KeSetEvent(&go, 0, FALSE);
  while (work.runs < accepted) nt_test::Sleep(1);
  nt_test::Sleep(5);
  NT_EXPECT_EQ(work.runs, accepted);
}
