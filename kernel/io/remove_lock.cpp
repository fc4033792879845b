// Remove locks: a count of who uses a device, which its removal waits for. A driver that was compiled for
// checked builds passes the longer structure: then every acquisition is remembered with its tag.
#include "io_internal.h"
#include "nt/export.h"

// One acquisition of a checked remove lock. Windows's name; the layout is ours.
typedef struct _IO_REMOVE_LOCK_TRACKING_BLOCK {
  LIST_ENTRY Link;
  PVOID Tag;
  LARGE_INTEGER TimeLocked;
  PCSTR File;
  ULONG Line;
} IO_REMOVE_LOCK_TRACKING_BLOCK;

namespace {

constexpr LONG kSignature = 'COLR';
struct CheckedLock {
  IO_REMOVE_LOCK_COMMON_BLOCK common;
  IO_REMOVE_LOCK_DBG_BLOCK dbg;
};

// 0: the free structure, or one that IoInitializeRemoveLockEx has not seen.
IO_REMOVE_LOCK_DBG_BLOCK* CheckedPart(PIO_REMOVE_LOCK lock, ULONG size) {
  if (size < sizeof(CheckedLock)) return nullptr;
  auto* dbg = &reinterpret_cast<CheckedLock*>(lock)->dbg;
  return dbg->Signature == kSignature ? dbg : nullptr;
}

void Remember(IO_REMOVE_LOCK_DBG_BLOCK* dbg, PVOID tag, PCSTR file, ULONG line) {
  auto* block = static_cast<PIO_REMOVE_LOCK_TRACKING_BLOCK>(ExAllocatePoolWithTag(
      NonPagedPoolNx, sizeof(IO_REMOVE_LOCK_TRACKING_BLOCK), static_cast<ULONG>(dbg->AllocateTag)));
  if (block == nullptr) {
    InterlockedIncrement(&dbg->LowMemoryCount);
    return;
  }
  block->Tag = tag;
  block->File = file;
  block->Line = line;
  KeQueryTickCount(&block->TimeLocked);
  ke::SpinGuard guard(&dbg->Spin);
  InsertTailList(&dbg->LockList, &block->Link);
}

// The oldest acquisition with that tag, off the list; 0: there is none.
PIO_REMOVE_LOCK_TRACKING_BLOCK TakeTag(IO_REMOVE_LOCK_DBG_BLOCK* dbg, PVOID tag) {
  ke::SpinGuard guard(&dbg->Spin);
  for (LIST_ENTRY* link = dbg->LockList.Flink; link != &dbg->LockList; link = link->Flink) {
    auto* block = CONTAINING_RECORD(link, IO_REMOVE_LOCK_TRACKING_BLOCK, Link);
    if (block->Tag != tag) continue;
    RemoveEntryList(link);
    return block;
  }
  return nullptr;
}

void Forget(PIO_REMOVE_LOCK lock, IO_REMOVE_LOCK_DBG_BLOCK* dbg, PVOID tag) {
  PIO_REMOVE_LOCK_TRACKING_BLOCK block = TakeTag(dbg, tag);
  if (block == nullptr) {
    // As Windows's free builds: the driver is told, the machine goes on.
    if (dbg->LowMemoryCount == 0 || InterlockedDecrement(&dbg->LowMemoryCount) < 0)
      DbgPrint("IoReleaseRemoveLock: lock %p is released with tag %p, which nobody acquired it with\n", lock,
               tag);
    return;
  }
  LARGE_INTEGER now;
  KeQueryTickCount(&now);
  if (dbg->MaxLockedTicks != 0 && now.QuadPart - block->TimeLocked.QuadPart > dbg->MaxLockedTicks) {
    DbgPrint("IoReleaseRemoveLock: lock %p, tag %p, acquired at %s(%u), was held for too long\n", lock, tag,
             block->File, block->Line);
  }
  ExFreePoolWithTag(block, 0);
}

void DropOne(PIO_REMOVE_LOCK lock) {
  if (InterlockedDecrement(&lock->Common.IoCount) == 0)
    KeSetEvent(&lock->Common.RemoveEvent, IO_NO_INCREMENT, FALSE);
}

}  // namespace

/// Prepares a remove lock. The limits count for the checked structure only.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoInitializeRemoveLock.
NT_EXPORT(IoInitializeRemoveLockEx, nt::AtMost(PASSIVE_LEVEL), Full, "IoRemoveLock.*");
extern "C" VOID NTAPI IoInitializeRemoveLockEx(PIO_REMOVE_LOCK Lock, ULONG AllocateTag,
                                               ULONG MaxLockedMinutes, ULONG HighWatermark,
                                               ULONG RemlockSize) {
  Lock->Common.Removed = FALSE;
  Lock->Common.IoCount = 1;
  KeInitializeEvent(&Lock->Common.RemoveEvent, SynchronizationEvent, FALSE);
  if (RemlockSize < sizeof(CheckedLock)) return;
  auto* dbg = &reinterpret_cast<CheckedLock*>(Lock)->dbg;
  RtlZeroMemory(dbg, sizeof(*dbg));
  dbg->Signature = kSignature;
  dbg->HighWatermark = static_cast<LONG>(HighWatermark);
  dbg->MaxLockedTicks = 600'000'000ll * MaxLockedMinutes / KeQueryTimeIncrement();
  dbg->AllocateTag = static_cast<LONG>(AllocateTag);
  InitializeListHead(&dbg->LockList);
  KeInitializeSpinLock(&dbg->Spin);
}

/// Counts a use of the device in; STATUS_DELETE_PENDING once its removal has begun.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoAcquireRemoveLock.
NT_EXPORT(IoAcquireRemoveLockEx, nt::AtMost(DISPATCH_LEVEL), Full, "IoRemoveLock.*");
extern "C" NTSTATUS NTAPI IoAcquireRemoveLockEx(PIO_REMOVE_LOCK RemoveLock, PVOID Tag, PCSTR File, ULONG Line,
                                                ULONG RemlockSize) {
  const LONG count = InterlockedIncrement(&RemoveLock->Common.IoCount);
  if (RemoveLock->Common.Removed) {
    DropOne(RemoveLock);
    return STATUS_DELETE_PENDING;
  }
  if (IO_REMOVE_LOCK_DBG_BLOCK* dbg = CheckedPart(RemoveLock, RemlockSize); dbg != nullptr) {
    if (dbg->HighWatermark != 0 && count - 1 > dbg->HighWatermark)
      DbgPrint("IoAcquireRemoveLock: lock %p is held %d times, more than its high watermark\n", RemoveLock,
               count - 1);
    Remember(dbg, Tag, File, Line);
  }
  return STATUS_SUCCESS;
}

/// Counts a use out.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoReleaseRemoveLock.
NT_EXPORT(IoReleaseRemoveLockEx, nt::AtMost(DISPATCH_LEVEL), Full, "IoRemoveLock.*");
extern "C" VOID NTAPI IoReleaseRemoveLockEx(PIO_REMOVE_LOCK RemoveLock, PVOID Tag, ULONG RemlockSize) {
  if (IO_REMOVE_LOCK_DBG_BLOCK* dbg = CheckedPart(RemoveLock, RemlockSize); dbg != nullptr)
    Forget(RemoveLock, dbg, Tag);
  DropOne(RemoveLock);
}

/// Begins the removal: no use is counted in any more; counts the caller's out and waits for all others.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoReleaseRemoveLockAndWait.
NT_EXPORT(IoReleaseRemoveLockAndWaitEx, nt::AtMost(PASSIVE_LEVEL), Full, "IoRemoveLock.*");
extern "C" VOID NTAPI IoReleaseRemoveLockAndWaitEx(PIO_REMOVE_LOCK RemoveLock, PVOID Tag, ULONG RemlockSize) {
  __atomic_store_n(&RemoveLock->Common.Removed, TRUE, __ATOMIC_SEQ_CST);
  InterlockedDecrement(&RemoveLock->Common.IoCount);  // the caller's: the one of the lock itself stays
  if (InterlockedDecrement(&RemoveLock->Common.IoCount) > 0)
    KeWaitForSingleObject(&RemoveLock->Common.RemoveEvent, Executive, KernelMode, FALSE, nullptr);
  if (IO_REMOVE_LOCK_DBG_BLOCK* dbg = CheckedPart(RemoveLock, RemlockSize); dbg != nullptr)
    Forget(RemoveLock, dbg, Tag);
}
