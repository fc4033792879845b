// Requests that a file system goes on with on another stack: one thread for those of paging files, one for
// the others, so that neither waits for the other.
#include "fsrtl_internal.h"
#include "ps/ps.h"

namespace {

struct Posted {
  LIST_ENTRY link;
  PFSRTL_STACK_OVERFLOW_ROUTINE routine;
  PVOID context;
  PKEVENT event;
};

struct Worker {
  KSPIN_LOCK lock;
  LIST_ENTRY queue;
  KSEMAPHORE count;
  Posted reserve;  // for paging files when there is no memory
  KEVENT reserve_free;
  volatile LONG started;
  WORK_QUEUE_ITEM start;  // makes the thread: the first call may come at DISPATCH_LEVEL
};
Worker g_workers[2];  // others, paging files
volatile LONG g_prepared;
KSPIN_LOCK g_prepare_lock;

void NTAPI Run(PVOID context) {
  auto* worker = static_cast<Worker*>(context);
  for (;;) {
    KeWaitForSingleObject(&worker->count, Executive, KernelMode, FALSE, nullptr);
    LIST_ENTRY* link = ExInterlockedRemoveHeadList(&worker->queue, &worker->lock);
    auto* posted = CONTAINING_RECORD(link, Posted, link);
    const Posted copy = *posted;
    if (posted == &worker->reserve) {
      KeSetEvent(&worker->reserve_free, IO_NO_INCREMENT, FALSE);
    } else {
      ExFreePoolWithTag(posted, fsrtl::kTag);
    }
    copy.routine(copy.context, copy.event);
  }
}

void NTAPI StartThread(PVOID context) {
  ps::StartSystemThread(Run, context);
}

void Prepare() {
  if (g_prepared != 0) return;
  ke::SpinGuard guard(&g_prepare_lock);
  if (g_prepared != 0) return;
  for (Worker& worker : g_workers) {
    KeInitializeSpinLock(&worker.lock);
    InitializeListHead(&worker.queue);
    KeInitializeSemaphore(&worker.count, 0, MAXLONG);
    KeInitializeEvent(&worker.reserve_free, SynchronizationEvent, TRUE);
    ExInitializeWorkItem(&worker.start, StartThread, &worker);
  }
  InterlockedExchange(&g_prepared, 1);
}

void Post(Worker* worker, bool must_succeed, PVOID context, PKEVENT event,
          PFSRTL_STACK_OVERFLOW_ROUTINE routine) {
  Prepare();
  if (InterlockedExchange(&worker->started, 1) == 0) ExQueueWorkItem(&worker->start, CriticalWorkQueue);
  auto* posted = static_cast<Posted*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Posted), fsrtl::kTag));
  if (posted == nullptr) {
    if (!must_succeed) ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
    KeWaitForSingleObject(&worker->reserve_free, Executive, KernelMode, FALSE, nullptr);
    posted = &worker->reserve;
  }
  posted->routine = routine;
  posted->context = context;
  posted->event = event;
  ExInterlockedInsertTailList(&worker->queue, &posted->link, &worker->lock);
  KeReleaseSemaphore(&worker->count, IO_NO_INCREMENT, 1, FALSE);
}

}  // namespace

/// Calls StackOverflowRoutine(Context, Event) in a thread that has its whole stack left; the routine sets the
/// event. Raises STATUS_INSUFFICIENT_RESOURCES.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlPostStackOverflow.
NT_EXPORT(FsRtlPostStackOverflow, nt::AtMost(DISPATCH_LEVEL), Full, "FsRtlOverflow.*");
extern "C" VOID NTAPI FsRtlPostStackOverflow(PVOID Context, PKEVENT Event,
                                             PFSRTL_STACK_OVERFLOW_ROUTINE StackOverflowRoutine) {
  Post(&g_workers[0], false, Context, Event, StackOverflowRoutine);
}

/// The same for a paging file's request: never fails for want of memory, never waits behind other files'.
/// IRQL: <= DISPATCH_LEVEL; where there is no memory and another request has the reserve, <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlPostPagingFileStackOverflow.
NT_EXPORT(FsRtlPostPagingFileStackOverflow, nt::AtMost(DISPATCH_LEVEL), Full, "FsRtlOverflow.*");
extern "C" VOID NTAPI FsRtlPostPagingFileStackOverflow(PVOID Context, PKEVENT Event,
                                                       PFSRTL_STACK_OVERFLOW_ROUTINE StackOverflowRoutine) {
  Post(&g_workers[1], true, Context, Event, StackOverflowRoutine);
}
