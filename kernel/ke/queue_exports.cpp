// Kernel queues: a work list that lets at most MaximumCount of its threads run at a time. A thread that
// blocks elsewhere stops counting, and a waiter takes its place (KiCommitThreadWait and KiUnwaitThread call
// the two hooks below).
#include "ke_internal.h"
#include "nt/export.h"

namespace {

KWAIT_BLOCK* LastWaiter(PRKQUEUE queue) {
  if (IsListEmpty(&queue->Header.WaitListHead)) return nullptr;
  return CONTAINING_RECORD(queue->Header.WaitListHead.Blink, KWAIT_BLOCK, WaitListEntry);
}

PLIST_ENTRY Pop(PRKQUEUE queue) {
  --queue->Header.SignalState;
  queue->CurrentCount = queue->CurrentCount + 1;
  PLIST_ENTRY entry = RemoveHeadList(&queue->EntryListHead);
  entry->Flink = nullptr;
  return entry;
}

void Leave(PKTHREAD thread) {
  PKQUEUE queue = thread->Queue;
  if (queue == nullptr) return;
  RemoveEntryList(&thread->QueueListEntry);
  InitializeListHead(&thread->QueueListEntry);
  KiQueueThreadBlocks(queue);
  thread->Queue = nullptr;
}

LONG Insert(PRKQUEUE queue, PLIST_ENTRY entry, bool head) {
  DispatcherGuard guard;
  const LONG previous = queue->Header.SignalState;
  KWAIT_BLOCK* waiter = LastWaiter(queue);
  if (waiter != nullptr && queue->CurrentCount < queue->MaximumCount) {
    entry->Flink = nullptr;
    KiUnwaitThread(waiter->Thread, reinterpret_cast<LONG_PTR>(entry), 0);
    return previous;
  }
  queue->Header.SignalState = previous + 1;
  if (head) {
    InsertHeadList(&queue->EntryListHead, entry);
  } else {
    InsertTailList(&queue->EntryListHead, entry);
  }
  return previous;
}

}  // namespace

extern "C" {

// A thread of the queue stops running: one that waits may take an entry. Lock held.
VOID KiQueueThreadBlocks(PKQUEUE queue) {
  queue->CurrentCount = queue->CurrentCount - 1;
  KWAIT_BLOCK* waiter = LastWaiter(queue);
  if (waiter == nullptr || IsListEmpty(&queue->EntryListHead) || queue->CurrentCount >= queue->MaximumCount)
    return;
  PLIST_ENTRY entry = Pop(queue);
  queue->CurrentCount = queue->CurrentCount - 1;  // the unwait counts the thread
  KiUnwaitThread(waiter->Thread, reinterpret_cast<LONG_PTR>(entry), 0);
}

VOID KiQueueThreadWakes(PKQUEUE queue) {
  queue->CurrentCount = queue->CurrentCount + 1;
}

/// Prepares a queue; Count threads may run at a time, 0 = as many as there are processors.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/KeInitializeQueue.
NT_EXPORT(KeInitializeQueue, nt::AtMost(DISPATCH_LEVEL), Full, "KeQueue.*");
VOID NTAPI KeInitializeQueue(PRKQUEUE Queue, ULONG Count) {
  RtlZeroMemory(Queue, sizeof(*Queue));
  Queue->Header.Type = kQueue;
  Queue->Header.Size = sizeof(KQUEUE) / sizeof(ULONG);
  InitializeListHead(&Queue->Header.WaitListHead);
  InitializeListHead(&Queue->EntryListHead);
  InitializeListHead(&Queue->ThreadListHead);
  Queue->MaximumCount = Count != 0 ? Count : static_cast<ULONG>(KeNumberProcessors);
}

/// Number of entries that wait.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntifs/KeReadStateQueue.
NT_EXPORT(KeReadStateQueue, nt::AnyIrql(), Full, "KeQueue.*");
LONG NTAPI KeReadStateQueue(PRKQUEUE Queue) {
  return __atomic_load_n(&Queue->Header.SignalState, __ATOMIC_ACQUIRE);
}

/// Appends an entry, or hands it to a waiting thread. Returns how many waited before.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/KeInsertQueue.
NT_EXPORT(KeInsertQueue, nt::AtMost(DISPATCH_LEVEL), Full, "KeQueue.*");
LONG NTAPI KeInsertQueue(PRKQUEUE Queue, PLIST_ENTRY Entry) {
  return Insert(Queue, Entry, false);
}

/// As KeInsertQueue, before the entries that wait.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/KeInsertHeadQueue.
NT_EXPORT(KeInsertHeadQueue, nt::AtMost(DISPATCH_LEVEL), Full, "KeQueue.*");
LONG NTAPI KeInsertHeadQueue(PRKQUEUE Queue, PLIST_ENTRY Entry) {
  return Insert(Queue, Entry, true);
}

/// Takes an entry, waiting for one if need be; the thread belongs to the queue from then on. Returns
/// STATUS_TIMEOUT as a pointer when the time is over. IRQL: <= APC_LEVEL. Differs from NT: alerts and user
/// APCs do not exist. Source: WDK ntifs/KeRemoveQueue.
NT_EXPORT(KeRemoveQueue, nt::AtMost(DISPATCH_LEVEL), Partial, "KeQueue.*");
PLIST_ENTRY NTAPI KeRemoveQueue(PRKQUEUE Queue, KPROCESSOR_MODE WaitMode, PLARGE_INTEGER Timeout) {
  PKTHREAD thread = KeCurrentThread();
  for (;;) {
    const KIRQL old_irql = KfRaiseIrql(DISPATCH_LEVEL);
    KiLockDispatcherAtDispatch();
    if (thread->Queue != Queue) {
      Leave(thread);
      thread->Queue = Queue;
      InsertTailList(&Queue->ThreadListHead, &thread->QueueListEntry);
    } else {
      Queue->CurrentCount = Queue->CurrentCount - 1;
    }
    if (!IsListEmpty(&Queue->EntryListHead) && Queue->CurrentCount < Queue->MaximumCount) {
      PLIST_ENTRY entry = Pop(Queue);
      KiExitDispatcher(old_irql);
      return entry;
    }
    if (Timeout != nullptr && Timeout->QuadPart == 0) {
      Queue->CurrentCount = Queue->CurrentCount + 1;
      KiExitDispatcher(old_irql);
      return reinterpret_cast<PLIST_ENTRY>(static_cast<LONG_PTR>(STATUS_TIMEOUT));
    }
    KiPrepareQueueWait(thread, &Queue->Header, WaitMode);
    KiCommitThreadWait(thread, Timeout, old_irql);
    if (thread->WaitStatus != STATUS_KERNEL_APC) return reinterpret_cast<PLIST_ENTRY>(thread->WaitStatus);
  }
}

/// Empties a queue before it goes away: threads are let go, the entries are returned as a circular list
/// without head. IRQL: <= DISPATCH_LEVEL. Differs from NT: none. Source: WDK ntifs/KeRundownQueue.
NT_EXPORT(KeRundownQueue, nt::AtMost(DISPATCH_LEVEL), Full, "KeQueue.*");
PLIST_ENTRY NTAPI KeRundownQueue(PRKQUEUE Queue) {
  DispatcherGuard guard;
  PLIST_ENTRY first = nullptr;
  if (!IsListEmpty(&Queue->EntryListHead)) {
    first = Queue->EntryListHead.Flink;
    RemoveEntryList(&Queue->EntryListHead);
    InitializeListHead(&Queue->EntryListHead);
  }
  Queue->Header.SignalState = 0;
  while (!IsListEmpty(&Queue->ThreadListHead)) {
    PLIST_ENTRY link = RemoveHeadList(&Queue->ThreadListHead);
    InitializeListHead(link);
    CONTAINING_RECORD(link, KTHREAD, QueueListEntry)->Queue = nullptr;
  }
  return first;
}

}  // extern "C"
