// Kernel queues: a work list that lets at most MaximumCount of its threads run at a time. A thread that
// blocks elsewhere stops counting, and a waiter takes its place (KiCommitThreadWait calls the hooks below).
#include "ke_internal.h"
#include "nt/export.h"

namespace {

KWAIT_BLOCK* BlockOf(LIST_ENTRY* link) {
  return CONTAINING_RECORD(link, KWAIT_BLOCK, WaitListEntry);
}

// Lock held: gives the entry to the thread that began to wait last; it counts as running from now on.
bool HandOver(PRKQUEUE queue, PLIST_ENTRY entry) {
  LIST_ENTRY* head = &queue->Header.WaitListHead;
  for (LIST_ENTRY* link = head->Blink; link != head; link = link->Blink) {
    KWAIT_BLOCK* block = BlockOf(link);
    if (!KiClaimWait(block->Thread, 0)) continue;
    RemoveEntryList(link);
    block->BlockState = kBlockSatisfied;
    queue->CurrentCount = queue->CurrentCount + 1;
    entry->Flink = nullptr;
    KiDecideWait(block->Thread, reinterpret_cast<LONG_PTR>(entry), 0);
    return true;
  }
  return false;
}

PLIST_ENTRY Pop(PRKQUEUE queue) {
  --queue->Header.SignalState;
  PLIST_ENTRY entry = RemoveHeadList(&queue->EntryListHead);
  entry->Flink = nullptr;
  return entry;
}

// Lock held: a thread of the queue stopped running, so one that waits may take an entry.
void LetAnotherRun(PKQUEUE queue) {
  if (IsListEmpty(&queue->EntryListHead) || queue->CurrentCount >= queue->MaximumCount) return;
  PLIST_ENTRY entry = queue->EntryListHead.Flink;
  RemoveEntryList(entry);
  if (HandOver(queue, entry)) {
    --queue->Header.SignalState;
  } else {
    InsertHeadList(&queue->EntryListHead, entry);
  }
}

LONG Insert(PRKQUEUE queue, PLIST_ENTRY entry, bool head) {
  ObjectGuard guard(&queue->Header);
  const LONG previous = queue->Header.SignalState;
  if (queue->CurrentCount < queue->MaximumCount && IsListEmpty(&queue->EntryListHead) &&
      HandOver(queue, entry)) {
    return previous;
  }
  queue->Header.SignalState = previous + 1;
  if (head) {
    InsertHeadList(&queue->EntryListHead, entry);
  } else {
    InsertTailList(&queue->EntryListHead, entry);
  }
  LetAnotherRun(queue);
  return previous;
}

// The thread's queue, locked; 0: none. The queue may be run down meanwhile: it stays while the thread's lock
// is held, and its own lock is only tried.
PKQUEUE LockQueueOf(PKTHREAD thread) {
  for (;;) {
    KiAcquireThreadLock(thread);
    PKQUEUE queue = thread->Queue;
    const bool locked = queue != nullptr && KiTryAcquireObjectLock(&queue->Header);
    KiReleaseThreadLock(thread);
    if (queue == nullptr || locked) return queue;
    arch::Pause();
  }
}

void SetQueue(PKTHREAD thread, PKQUEUE queue) {
  KiAcquireThreadLock(thread);
  thread->Queue = queue;
  KiReleaseThreadLock(thread);
}

// The thread belongs to this queue from now on and does not count as running.
void Join(PKTHREAD thread, PRKQUEUE queue) {
  if (thread->Queue != queue) {
    KiLeaveQueue(thread);
    KiAcquireObjectLock(&queue->Header);
    SetQueue(thread, queue);
    InsertTailList(&queue->ThreadListHead, &thread->QueueListEntry);
  } else {
    KiAcquireObjectLock(&queue->Header);
    queue->CurrentCount = queue->CurrentCount - 1;
  }
}

// Takes up to `count` entries if the queue's limit allows; 0: none. Lock held.
ULONG TakeEntries(PRKQUEUE queue, PLIST_ENTRY* entries, ULONG count) {
  if (IsListEmpty(&queue->EntryListHead) || queue->CurrentCount >= queue->MaximumCount) return 0;
  ULONG taken = 0;
  while (taken < count && !IsListEmpty(&queue->EntryListHead)) entries[taken++] = Pop(queue);
  queue->CurrentCount = queue->CurrentCount + 1;
  return taken;
}

PLIST_ENTRY AsEntry(NTSTATUS status) {
  return reinterpret_cast<PLIST_ENTRY>(static_cast<LONG_PTR>(status));
}

// One attempt. Returns the number of entries; 0: once more.
ULONG RemoveOnce(PRKQUEUE queue, KPROCESSOR_MODE mode, BOOLEAN alertable, const KiDeadline& deadline,
                 PLIST_ENTRY* entries, ULONG count) {
  PKTHREAD thread = KeCurrentThread();
  const KIRQL old_irql = KiEnterWait(thread);
  Join(thread, queue);
  ULONG taken = TakeEntries(queue, entries, count);
  NTSTATUS status = STATUS_TIMEOUT;
  if (taken == 0 && (KiTestAlert(thread, mode, alertable, &status) || deadline.poll)) {
    queue->CurrentCount = queue->CurrentCount + 1;
    entries[0] = AsEntry(status);
    taken = 1;
  }
  if (taken == 0) {
    thread->WaitBlockList = thread->WaitBlock;
    thread->WaitBlockCount = 1;
    KiBeginWait(thread, WrQueue, mode, alertable, old_irql);
    KiLinkWaitBlock(&thread->WaitBlock[0], thread, &queue->Header, WaitAny, 0);
    KiReleaseObjectLock(&queue->Header);
    const LARGE_INTEGER left = deadline.Left();
    KiCommitThreadWait(thread, thread->WaitBlock, 1, deadline.forever ? nullptr : &left);
    const LONG_PTR result = thread->WaitStatus;
    if (result > 0)
      KiQueueThreadWakes(thread);  // a status; an entry is an address, and whoever gave it has counted
    entries[0] = reinterpret_cast<PLIST_ENTRY>(result);
    taken = result != STATUS_KERNEL_APC ? 1 : 0;
  } else {
    KiReleaseObjectLock(&queue->Header);
  }
  KiExitDispatcher(old_irql);
  return taken;
}

}  // namespace

extern "C" {

// A thread of the queue stops running. DISPATCH_LEVEL, no lock held.
VOID KiQueueThreadBlocks(PKTHREAD thread) {
  PKQUEUE queue = LockQueueOf(thread);
  if (queue == nullptr) return;
  queue->CurrentCount = queue->CurrentCount - 1;
  LetAnotherRun(queue);
  KiReleaseObjectLock(&queue->Header);
}

VOID KiQueueThreadWakes(PKTHREAD thread) {
  PKQUEUE queue = LockQueueOf(thread);
  if (queue == nullptr) return;
  queue->CurrentCount = queue->CurrentCount + 1;
  KiReleaseObjectLock(&queue->Header);
}

VOID KiLeaveQueue(PKTHREAD thread) {
  PKQUEUE queue = LockQueueOf(thread);
  if (queue == nullptr) return;
  RemoveEntryList(&thread->QueueListEntry);
  InitializeListHead(&thread->QueueListEntry);
  SetQueue(thread, nullptr);
  queue->CurrentCount = queue->CurrentCount - 1;
  LetAnotherRun(queue);
  KiReleaseObjectLock(&queue->Header);
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
/// STATUS_TIMEOUT, STATUS_USER_APC or STATUS_ABANDONED (the queue is run down) as a pointer where there is
/// none.
/// IRQL: <= APC_LEVEL; <= DISPATCH_LEVEL with a zero timeout.
/// Differs from NT: none.
/// Source: WDK ntifs/KeRemoveQueue.
NT_EXPORT(KeRemoveQueue, nt::AtMost(DISPATCH_LEVEL), Full, "KeQueue.*");
PLIST_ENTRY NTAPI KeRemoveQueue(PRKQUEUE Queue, KPROCESSOR_MODE WaitMode, PLARGE_INTEGER Timeout) {
  const KiDeadline deadline(Timeout);
  PLIST_ENTRY entry;
  while (RemoveOnce(Queue, WaitMode, FALSE, deadline, &entry, 1) == 0) {
  }
  return entry;
}

/// Takes up to Count entries at once, waiting for the first if need be. Returns how many; where there is
/// none, 1 and the status as the first pointer.
/// IRQL: <= APC_LEVEL; <= DISPATCH_LEVEL with a zero timeout.
/// Differs from NT: none.
/// Source: WDK ntifs header: KeRemoveQueueEx.
NT_EXPORT(KeRemoveQueueEx, nt::AtMost(DISPATCH_LEVEL), Full, "KeQueue.*");
ULONG NTAPI KeRemoveQueueEx(PKQUEUE Queue, KPROCESSOR_MODE WaitMode, BOOLEAN Alertable,
                            PLARGE_INTEGER Timeout, PLIST_ENTRY* EntryArray, ULONG Count) {
  const KiDeadline deadline(Timeout);
  for (;;) {
    const ULONG taken = RemoveOnce(Queue, WaitMode, Alertable, deadline, EntryArray, Count);
    if (taken != 0) return taken;
  }
}

/// Empties a queue before it goes away: threads are let go, those that wait with STATUS_ABANDONED; the
/// entries are returned as a circular list without head.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/KeRundownQueue.
NT_EXPORT(KeRundownQueue, nt::AtMost(DISPATCH_LEVEL), Full, "KeQueue.*");
PLIST_ENTRY NTAPI KeRundownQueue(PRKQUEUE Queue) {
  ObjectGuard guard(&Queue->Header);
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
    SetQueue(CONTAINING_RECORD(link, KTHREAD, QueueListEntry), nullptr);
  }
  LIST_ENTRY* head = &Queue->Header.WaitListHead;
  for (LIST_ENTRY* link = head->Flink; link != head;) {
    KWAIT_BLOCK* block = BlockOf(link);
    link = link->Flink;
    if (!KiClaimWait(block->Thread, 0)) continue;
    RemoveEntryList(&block->WaitListEntry);
    block->BlockState = kBlockSatisfied;
    KiDecideWait(block->Thread, STATUS_ABANDONED, 0);
  }
  return first;
}

}  // extern "C"
