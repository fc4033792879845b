// System worker threads: queues of work items, served at PASSIVE_LEVEL.
#include "ex/ex.h"
#include "nt/export.h"
#include "ob/ob.h"
#include "ps/ps.h"

#ifndef WORKER_THREAD_RETURNED_AT_BAD_IRQL
#define WORKER_THREAD_RETURNED_AT_BAD_IRQL 0xE1
#endif

typedef struct _EX_WORK_QUEUE {
  KSPIN_LOCK Lock;
  LIST_ENTRY WorkItems;
  KSEMAPHORE Ready;  // one count a queued item
  ULONG WorkItemsProcessed;
  ULONG ThreadCount;
} EX_WORK_QUEUE;

extern "C" {
EX_WORK_QUEUE ExWorkerQueue[3];
static volatile LONG ExpWorkersStarted;
}

namespace {

struct QueueSetup {
  ULONG threads;
  KPRIORITY priority;
};
// By WORK_QUEUE_TYPE: critical, delayed, hypercritical. A delayed item may wait for another (a driver that is
// being loaded waits for its own): four threads.
constexpr QueueSetup kSetup[3] = {{2, 13}, {4, 12}, {1, 15}};

void EnsureQueues() {
  static volatile LONG state;  // 0 untouched, 1 being made, 2 made
  if (state == 2) return;
  if (InterlockedCompareExchange(&state, 1, 0) == 0) {
    for (auto& queue : ExWorkerQueue) {
      KeInitializeSpinLock(&queue.Lock);
      InitializeListHead(&queue.WorkItems);
      KeInitializeSemaphore(&queue.Ready, 0, MAXLONG);
    }
    InterlockedExchange(&state, 2);
  }
  while (state != 2) YieldProcessor();
}

PWORK_QUEUE_ITEM TakeItem(EX_WORK_QUEUE* queue) {
  ob::SpinGuard guard(&queue->Lock);
  if (IsListEmpty(&queue->WorkItems)) return nullptr;
  LIST_ENTRY* link = RemoveHeadList(&queue->WorkItems);
  link->Flink = nullptr;  // the item may be queued again
  ++queue->WorkItemsProcessed;
  return CONTAINING_RECORD(link, WORK_QUEUE_ITEM, List);
}

}  // namespace

extern "C" VOID NTAPI ExpWorkerThread(PVOID Context) {
  const auto index = static_cast<ULONG>(reinterpret_cast<ULONG_PTR>(Context));
  EX_WORK_QUEUE* queue = &ExWorkerQueue[index];
  KeSetPriorityThread(reinterpret_cast<PKTHREAD>(KeGetCurrentThread()), kSetup[index].priority);
  for (;;) {
    KeWaitForSingleObject(&queue->Ready, WrQueue, KernelMode, FALSE, nullptr);
    PWORK_QUEUE_ITEM item = TakeItem(queue);
    if (item == nullptr) continue;
    PWORKER_THREAD_ROUTINE routine = item->WorkerRoutine;
    PVOID parameter = item->Parameter;
    routine(parameter);
    const KIRQL irql = KeGetCurrentIrql();
    if (irql != PASSIVE_LEVEL) {
      KeBugCheckEx(WORKER_THREAD_RETURNED_AT_BAD_IRQL, reinterpret_cast<ULONG_PTR>(routine), irql,
                   reinterpret_cast<ULONG_PTR>(parameter), reinterpret_cast<ULONG_PTR>(item));
    }
  }
}

namespace ex {

NTSTATUS StartWorkers() {
  EnsureQueues();
  for (ULONG i = 0; i < RTL_NUMBER_OF(ExWorkerQueue); ++i) {
    for (ULONG n = 0; n < kSetup[i].threads; ++n) {
      NTSTATUS status = ps::CreateSystemThread(ExpWorkerThread,
                                               reinterpret_cast<PVOID>(static_cast<ULONG_PTR>(i)), nullptr);
      if (!NT_SUCCESS(status)) return status;
      ++ExWorkerQueue[i].ThreadCount;
    }
  }
  InterlockedExchange(&ExpWorkersStarted, 1);
  return STATUS_SUCCESS;
}

}  // namespace ex

extern "C" BOOLEAN ExpWorkersReady() {
  return ExpWorkersStarted != 0;
}

/// Has a system worker call the item's routine at PASSIVE_LEVEL; the item may be reused or freed from then
/// on. IRQL: <= DISPATCH_LEVEL. Differs from NT: none. Source: WDK wdm/ExQueueWorkItem.
NT_EXPORT(ExQueueWorkItem, nt::AtMost(DISPATCH_LEVEL), Full, "KernelEx.*");
extern "C" VOID NTAPI ExQueueWorkItem(PWORK_QUEUE_ITEM WorkItem, WORK_QUEUE_TYPE QueueType) {
  EnsureQueues();
  const ULONG index = static_cast<ULONG>(QueueType) < RTL_NUMBER_OF(ExWorkerQueue)
                          ? static_cast<ULONG>(QueueType)
                          : DelayedWorkQueue;
  EX_WORK_QUEUE* queue = &ExWorkerQueue[index];
  {
    ob::SpinGuard guard(&queue->Lock);
    InsertTailList(&queue->WorkItems, &WorkItem->List);
  }
  KeReleaseSemaphore(&queue->Ready, 0, 1, FALSE);
}
