// System worker threads: a queue of work items for each priority, served at PASSIVE_LEVEL by threads of that
// priority. At most as many run at a time as there are processors; when all that a queue has are blocked and
// items wait, the balance manager creates one more, which ends after a minute without work.
#include "ex/ex.h"
#include "ex/work_item.h"
#include "ke/ke.h"
#include "nt/export.h"
#include "ps/ps.h"

#ifndef WORKER_INVALID
#define WORKER_INVALID 0xE4
#endif

typedef struct _EX_WORK_QUEUE {
  KQUEUE WorkerQueue;
  volatile LONG WorkItemsProcessed;
  volatile LONG ThreadCount;
  LONG MinimumThreads;
  LONG Priority;
} EX_WORK_QUEUE;

extern "C" {
EX_WORK_QUEUE ExWorkerQueue[32];  // by priority
static volatile LONG ExpWorkersStarted;
static KEVENT ExpWorkerBalanceEvent;
}

namespace {

constexpr LONG kMaximumThreads = 256;  // of one queue
constexpr KPRIORITY kManagerPriority = LOW_REALTIME_PRIORITY;
constexpr ULONG_PTR kQueuedTwice = 1, kInvalidQueue = 6, kInvalidRoutine = 7;  // WORKER_INVALID, parameter 1

struct QueueSetup {
  ULONG priority;
  LONG threads;
};
// Queues that have threads from the start.
constexpr QueueSetup kSetup[] = {{13, 2}, {12, 4}, {15, 1}};

// The priority that a queue type stands for; 0: there is no such type.
ULONG PriorityOf(WORK_QUEUE_TYPE type) {
  switch (type) {
    case CriticalWorkQueue:
      return 13;
    case DelayedWorkQueue:
      return 12;
    case HyperCriticalWorkQueue:
      return 15;
    case NormalWorkQueue:
      return 8;
    case BackgroundWorkQueue:
      return 7;
    case RealTimeWorkQueue:
      return 18;
    case SuperCriticalWorkQueue:
      return 14;
    default: {
      const ULONG priority = static_cast<ULONG>(type) - CustomPriorityWorkQueue;
      return priority < RTL_NUMBER_OF(ExWorkerQueue) ? priority : 0;
    }
  }
}

void EnsureQueues() {
  static volatile LONG state;  // 0 untouched, 1 being made, 2 made
  if (state == 2) return;
  if (InterlockedCompareExchange(&state, 1, 0) == 0) {
    for (ULONG i = 0; i < RTL_NUMBER_OF(ExWorkerQueue); ++i) {
      KeInitializeQueue(&ExWorkerQueue[i].WorkerQueue, 0);
      ExWorkerQueue[i].Priority = static_cast<LONG>(i);
    }
    KeInitializeEvent(&ExpWorkerBalanceEvent, SynchronizationEvent, FALSE);
    InterlockedExchange(&state, 2);
  }
  while (state != 2) YieldProcessor();
}

bool HasPending(EX_WORK_QUEUE* queue) {
  return KeReadStateQueue(&queue->WorkerQueue) > 0;
}
// Items wait although fewer threads run than may: all threads of the queue are blocked.
bool IsStuck(EX_WORK_QUEUE* queue) {
  return HasPending(queue) && queue->WorkerQueue.CurrentCount < queue->WorkerQueue.MaximumCount;
}

// A thread may end if enough stay.
bool Retires(EX_WORK_QUEUE* queue) {
  for (;;) {
    const LONG count = queue->ThreadCount;
    if (count <= queue->MinimumThreads || HasPending(queue)) return false;
    if (InterlockedCompareExchange(&queue->ThreadCount, count - 1, count) == count) return true;
  }
}

NTSTATUS CreateWorker(EX_WORK_QUEUE* queue) {
  InterlockedIncrement(&queue->ThreadCount);
  NTSTATUS status = ps::CreateSystemThread(ExpWorkerThread, queue, nullptr);
  if (!NT_SUCCESS(status)) InterlockedDecrement(&queue->ThreadCount);
  return status;
}

// Inline, so that nt!ExpWorkerThread is what stops the machine.
__attribute__((always_inline)) inline void RunItem(EX_WORK_QUEUE* queue, PWORK_QUEUE_ITEM item) {
  PWORKER_THREAD_ROUTINE routine = item->WorkerRoutine;
  PVOID parameter = item->Parameter;
  InterlockedIncrement(&queue->WorkItemsProcessed);
  routine(parameter);
  ex::CheckWorkerReturn(reinterpret_cast<PVOID>(routine), parameter, item);
}

// FALSE: some queue still has items that wait.
bool Balance() {
  bool calm = true;
  for (auto& queue : ExWorkerQueue) {
    if (!HasPending(&queue)) continue;
    calm = false;
    if (IsStuck(&queue) && queue.ThreadCount < kMaximumThreads) CreateWorker(&queue);
  }
  return calm;
}

}  // namespace

extern "C" VOID NTAPI ExpWorkerThread(PVOID Context) {
  auto* queue = static_cast<EX_WORK_QUEUE*>(Context);
  KeSetPriorityThread(reinterpret_cast<PKTHREAD>(KeGetCurrentThread()), queue->Priority);
  LARGE_INTEGER minute;
  minute.QuadPart = -600'000'000;
  for (;;) {
    const bool may_end = queue->ThreadCount > queue->MinimumThreads;
    PLIST_ENTRY entry = KeRemoveQueue(&queue->WorkerQueue, KernelMode, may_end ? &minute : nullptr);
    if (reinterpret_cast<LONG_PTR>(entry) == STATUS_TIMEOUT) {
      if (Retires(queue)) return;
      continue;
    }
    RunItem(queue, CONTAINING_RECORD(entry, WORK_QUEUE_ITEM, List));
  }
}

// Waits until an item was queued that no thread took, then looks every 10 ms until none waits.
extern "C" VOID NTAPI ExpWorkerThreadBalanceManager(PVOID) {
  KeSetPriorityThread(reinterpret_cast<PKTHREAD>(KeGetCurrentThread()), kManagerPriority);
  LARGE_INTEGER interval;
  interval.QuadPart = -100'000;
  bool calm = true;
  for (;;) {
    KeWaitForSingleObject(&ExpWorkerBalanceEvent, WrQueue, KernelMode, FALSE, calm ? nullptr : &interval);
    calm = Balance();
  }
}

namespace ex {

NTSTATUS StartWorkers() {
  EnsureQueues();
  for (auto& queue : ExWorkerQueue)
    queue.WorkerQueue.MaximumCount = KeQueryActiveProcessorCountEx(ALL_PROCESSOR_GROUPS);
  for (const QueueSetup& setup : kSetup) {
    EX_WORK_QUEUE* queue = &ExWorkerQueue[setup.priority];
    queue->MinimumThreads = setup.threads;
    for (LONG n = 0; n < setup.threads; ++n) {
      NTSTATUS status = CreateWorker(queue);
      if (!NT_SUCCESS(status)) return status;
    }
  }
  NTSTATUS status = ps::CreateSystemThread(ExpWorkerThreadBalanceManager, nullptr, nullptr);
  if (!NT_SUCCESS(status)) return status;
  InterlockedExchange(&ExpWorkersStarted, 1);
  KeSetEvent(&ExpWorkerBalanceEvent, 0, FALSE);  // items may have come before there were threads
  return STATUS_SUCCESS;
}

}  // namespace ex

extern "C" BOOLEAN ExpWorkersReady() {
  return ExpWorkersStarted != 0;
}

extern "C" BOOLEAN ExpClaimWorkItem(PWORK_QUEUE_ITEM item) {
  PVOID const claimed = item;
  return InterlockedCompareExchangePointer(reinterpret_cast<PVOID volatile*>(&item->List.Flink), claimed,
                                           nullptr) == nullptr;
}

extern "C" VOID ExpInsertWorkItem(PWORK_QUEUE_ITEM item, WORK_QUEUE_TYPE type) {
  const auto routine = reinterpret_cast<ULONG_PTR>(item->WorkerRoutine);
  const ULONG priority = PriorityOf(type);
  if (priority == 0) {
    KeBugCheckEx(WORKER_INVALID, kInvalidQueue, reinterpret_cast<ULONG_PTR>(item), static_cast<ULONG>(type),
                 0);
  }
  if (static_cast<LONG_PTR>(routine) >= 0) {
    KeBugCheckEx(WORKER_INVALID, kInvalidRoutine, reinterpret_cast<ULONG_PTR>(item), static_cast<ULONG>(type),
                 0);
  }
  EX_WORK_QUEUE* queue = &ExWorkerQueue[priority];
  KeInsertQueue(&queue->WorkerQueue, &item->List);
  if (HasPending(queue)) KeSetEvent(&ExpWorkerBalanceEvent, 0, FALSE);
}

/// Has a system worker call the item's routine at PASSIVE_LEVEL; the item may be reused or freed from then
/// on. An item that is still queued: bug check 0xE4. A routine that returns at raised
/// IRQL: 0xE1, owning a mutex: 0x39, with APCs disabled: 0x1.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExQueueWorkItem.
NT_EXPORT(ExQueueWorkItem, nt::AtMost(DISPATCH_LEVEL), Full, "ExWorkItem.*");
extern "C" VOID NTAPI ExQueueWorkItem(PWORK_QUEUE_ITEM WorkItem, WORK_QUEUE_TYPE QueueType) {
  EnsureQueues();
  if (!ExpClaimWorkItem(WorkItem)) {
    KeBugCheckEx(WORKER_INVALID, kQueuedTwice, reinterpret_cast<ULONG_PTR>(WorkItem),
                 static_cast<ULONG>(QueueType), 0);
  }
  ExpInsertWorkItem(WorkItem, QueueType);
}

/// As ExQueueWorkItem, but FALSE if the item is still queued.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExTryQueueWorkItem, nt::AtMost(DISPATCH_LEVEL), Full, "ExWorkItem.*");
extern "C" BOOLEAN NTAPI ExTryQueueWorkItem(PWORK_QUEUE_ITEM WorkItem, WORK_QUEUE_TYPE QueueType) {
  EnsureQueues();
  if (!ExpClaimWorkItem(WorkItem)) return FALSE;
  ExpInsertWorkItem(WorkItem, QueueType);
  return TRUE;
}
