// The lazy writer: a thread that writes dirty pages about a second after they became so, deletes maps that
// nobody has open any more, and lets deferred writers go on.
#include "cc_internal.h"
#include "ps/ps.h"

namespace cc {

LIST_ENTRY g_maps = {&g_maps, &g_maps};
KSPIN_LOCK g_maps_lock;
volatile LONG g_dirty_pages;
volatile LONG g_views;

namespace {

struct Deferred {
  LIST_ENTRY link;
  PCC_POST_DEFERRED_WRITE routine;
  PVOID context1;
  PVOID context2;
  ULONG bytes;
};

// Someone waits for a pass that begins after it asked.
struct Waiter {
  LIST_ENTRY link;
  KEVENT done;
};

KSPIN_LOCK g_lock;  // the lists below
LIST_ENTRY g_deferred = {&g_deferred, &g_deferred};
LIST_ENTRY g_waiters = {&g_waiters, &g_waiters};
volatile LONG g_state;  // 0: no thread yet, 1: being made, 2: there
KEVENT g_wake;          // something is dirty
KEVENT g_now;           // and somebody waits for it
WORK_QUEUE_ITEM g_start;

// Writes one map out, as the file system wants it locked, and deletes it if it was the last's.
void WriteMap(PSHARED_CACHE_MAP map) {
  const bool locks = map->Callbacks.AcquireForLazyWrite != nullptr;
  KeEnterCriticalRegion();  // file systems acquire resources
  if (!locks || map->Callbacks.AcquireForLazyWrite(map->LazyWriteContext, TRUE)) {
    {
      MapGuard guard(map);
      Flush(map, 0, MAXLONGLONG);
      Trim(map, kMaximumViews);
    }
    if (locks) map->Callbacks.ReleaseFromLazyWrite(map->LazyWriteContext);
  }
  KeLeaveCriticalRegion();
}

// The map behind `after` in the list that has something to do, referenced.
PSHARED_CACHE_MAP NextMap(PSHARED_CACHE_MAP after) {
  ke::SpinGuard guard(&g_maps_lock);
  LIST_ENTRY* link = after != nullptr ? after->SharedCacheMapLinks.Flink : g_maps.Flink;
  for (; link != &g_maps; link = link->Flink) {
    auto* map = CONTAINING_RECORD(link, SHARED_CACHE_MAP, SharedCacheMapLinks);
    if (map->DirtyPages == 0 || map->DisableWriteBehind) {
      if (map->OpenCount != 0) continue;
    }
    ++map->Readers;
    return map;
  }
  return nullptr;
}

void WriteAll() {
  PSHARED_CACHE_MAP map = NextMap(nullptr);
  while (map != nullptr) {
    WriteMap(map);
    PSHARED_CACHE_MAP next = NextMap(map);
    DereferenceMap(map);
    map = next;
  }
}

Deferred* TakeDeferred() {
  ke::SpinGuard guard(&g_lock);
  if (IsListEmpty(&g_deferred)) return nullptr;
  auto* deferred = CONTAINING_RECORD(g_deferred.Flink, Deferred, link);
  const auto pages = static_cast<LONG>(deferred->bytes / PAGE_SIZE + 1);
  if (g_dirty_pages != 0 && g_dirty_pages + pages > kDirtyThreshold) return nullptr;
  RemoveEntryList(&deferred->link);
  return deferred;
}

void PostDeferred() {
  while (Deferred* deferred = TakeDeferred()) {
    const Deferred copy = *deferred;
    ExFreePoolWithTag(deferred, kTag);
    copy.routine(copy.context1, copy.context2);
  }
}

void TakeWaiters(LIST_ENTRY* list) {
  ke::SpinGuard guard(&g_lock);
  InitializeListHead(list);
  while (!IsListEmpty(&g_waiters)) InsertTailList(list, RemoveHeadList(&g_waiters));
}

bool AnythingDirty() {
  PSHARED_CACHE_MAP map = NextMap(nullptr);
  if (map == nullptr) return false;
  DereferenceMap(map);
  return true;
}

void NTAPI CcLazyWriter(PVOID) {
  for (;;) {
    LARGE_INTEGER second;
    second.QuadPart = -10'000'000;
    KeWaitForSingleObject(&g_wake, Executive, KernelMode, FALSE, nullptr);
    KeWaitForSingleObject(&g_now, Executive, KernelMode, FALSE, &second);
    LIST_ENTRY waiters;
    TakeWaiters(&waiters);
    WriteAll();
    PostDeferred();
    while (!IsListEmpty(&waiters))
      KeSetEvent(&CONTAINING_RECORD(RemoveHeadList(&waiters), Waiter, link)->done, IO_NO_INCREMENT, FALSE);
    // What could not be written, or was changed meanwhile, is tried again.
    if (AnythingDirty()) KeSetEvent(&g_wake, IO_NO_INCREMENT, FALSE);
  }
}

void NTAPI StartThread(PVOID) {
  ps::StartSystemThread(CcLazyWriter, nullptr);
}

void Prepare() {
  if (InterlockedCompareExchange(&g_state, 1, 0) == 0) {
    KeInitializeEvent(&g_wake, SynchronizationEvent, FALSE);
    KeInitializeEvent(&g_now, SynchronizationEvent, FALSE);
    ExInitializeWorkItem(&g_start, StartThread, nullptr);
    ExQueueWorkItem(&g_start, DelayedWorkQueue);
    InterlockedExchange(&g_state, 2);
  }
  while (__atomic_load_n(&g_state, __ATOMIC_ACQUIRE) != 2) YieldProcessor();
}

}  // namespace

void WakeLazyWriter() {
  Prepare();
  KeSetEvent(&g_wake, IO_NO_INCREMENT, FALSE);
}

NTSTATUS WaitForLazyWriter() {
  Prepare();
  Waiter waiter;
  KeInitializeEvent(&waiter.done, NotificationEvent, FALSE);
  {
    ke::SpinGuard guard(&g_lock);
    InsertTailList(&g_waiters, &waiter.link);
  }
  KeSetEvent(&g_now, IO_NO_INCREMENT, FALSE);
  KeSetEvent(&g_wake, IO_NO_INCREMENT, FALSE);
  return KeWaitForSingleObject(&waiter.done, Executive, KernelMode, FALSE, nullptr);
}

}  // namespace cc

/// Waits until the lazy writer has written what is dirty now.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcWaitForCurrentLazyWriterActivity.
NT_EXPORT(CcWaitForCurrentLazyWriterActivity, nt::AtMost(APC_LEVEL), Full, "CcFiles.*");
extern "C" NTSTATUS NTAPI CcWaitForCurrentLazyWriterActivity() {
  return cc::WaitForLazyWriter();
}

/// Whether a cached write of that size may go on: not so many dirty pages in the system. With Wait the lazy
/// writer is waited for.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: the threshold is 8 MiB.
/// Source: WDK ntifs/CcCanIWrite.
NT_EXPORT(CcCanIWrite, nt::AtMost(APC_LEVEL), Full, "CcFiles.*");
extern "C" BOOLEAN NTAPI CcCanIWrite(PFILE_OBJECT FileObject, ULONG BytesToWrite, BOOLEAN Wait, UCHAR) {
  const auto pages = static_cast<LONG>(BytesToWrite / PAGE_SIZE + 1);
  if (FileObject != nullptr && (FileObject->Flags & FO_WRITE_THROUGH)) return TRUE;
  for (;;) {
    if (cc::g_dirty_pages == 0 || cc::g_dirty_pages + pages <= cc::kDirtyThreshold) return TRUE;
    if (!Wait) return FALSE;
    cc::WaitForLazyWriter();
  }
}

/// Calls PostRoutine(Context1, Context2) when a write of that size may go on: at once, or in the lazy writer.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcDeferWrite.
NT_EXPORT(CcDeferWrite, nt::AtMost(APC_LEVEL), Full, "CcFiles.*");
extern "C" VOID NTAPI CcDeferWrite(PFILE_OBJECT FileObject, PCC_POST_DEFERRED_WRITE PostRoutine,
                                   PVOID Context1, PVOID Context2, ULONG BytesToWrite, BOOLEAN Retrying) {
  auto* deferred =
      static_cast<cc::Deferred*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(cc::Deferred), cc::kTag));
  if (deferred == nullptr || CcCanIWrite(FileObject, BytesToWrite, FALSE, Retrying)) {
    if (deferred != nullptr) ExFreePoolWithTag(deferred, cc::kTag);
    PostRoutine(Context1, Context2);
    return;
  }
  deferred->routine = PostRoutine;
  deferred->context1 = Context1;
  deferred->context2 = Context2;
  deferred->bytes = BytesToWrite;
  {
    ke::SpinGuard guard(&cc::g_lock);
    if (Retrying) {
      InsertHeadList(&cc::g_deferred, &deferred->link);
    } else {
      InsertTailList(&cc::g_deferred, &deferred->link);
    }
  }
  cc::WakeLazyWriter();
}
