// Cache maps: one a stream (shared), one a file object that caches it (private); sizes, flushing, purging.
#include "cc_internal.h"

namespace cc {

PSHARED_CACHE_MAP ReferenceMap(PSECTION_OBJECT_POINTERS pointers) {
  if (pointers == nullptr) return nullptr;
  ke::SpinGuard guard(&g_maps_lock);
  auto* map = static_cast<PSHARED_CACHE_MAP>(pointers->SharedCacheMap);
  if (map != nullptr) ++map->Readers;
  return map;
}

namespace {

void SignalUninitialize(PCACHE_UNINITIALIZE_EVENT event) {
  while (event != nullptr) {
    PCACHE_UNINITIALIZE_EVENT next = event->Next;
    KeSetEvent(&event->Event, IO_NO_INCREMENT, FALSE);
    event = next;
  }
}

void DeleteMap(PSHARED_CACHE_MAP map) {
  FreeViews(map);
  PFILE_OBJECT file = map->FileObject;
  PCACHE_UNINITIALIZE_EVENT event = map->UninitializeEvent;
  ExDeleteResourceLite(&map->Resource);
  ExFreePoolWithTag(map, kTag);
  ObfDereferenceObject(file);
  SignalUninitialize(event);  // who waits may take the volume down: nothing of the file is left to be closed
}

// Takes the map out of the world if nobody needs it: not open, not being looked at, nothing to write.
bool UnlinkIfIdle(PSHARED_CACHE_MAP map) {
  ke::SpinGuard guard(&g_maps_lock);
  if (map->Readers != 0 || map->OpenCount != 0 || map->DirtyPages != 0) return false;
  RemoveEntryList(&map->SharedCacheMapLinks);
  map->SectionObjectPointers->SharedCacheMap = nullptr;
  return true;
}

PSHARED_CACHE_MAP NewMap(PFILE_OBJECT file, const CC_FILE_SIZES* sizes) {
  auto* map =
      static_cast<PSHARED_CACHE_MAP>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(SHARED_CACHE_MAP), kTag));
  if (map == nullptr) return nullptr;
  RtlZeroMemory(map, sizeof(*map));
  InitializeListHead(&map->Views);
  InitializeListHead(&map->BcbList);
  InitializeListHead(&map->PrivateList);
  ExInitializeResourceLite(&map->Resource);
  map->SectionObjectPointers = file->SectionObjectPointer;
  map->FileSize = sizes->FileSize;
  map->ValidDataLength = sizes->ValidDataLength;
  map->SectionSize = sizes->AllocationSize;
  map->FileObject = file;
  ObfReferenceObject(file);
  return map;
}

void AddPrivate(PSHARED_CACHE_MAP map, PFILE_OBJECT file, PPRIVATE_CACHE_MAP own) {
  own->FileObject = file;
  own->SharedCacheMap = map;
  own->ReadAheadGranularity = PAGE_SIZE;
  InsertTailList(&map->PrivateList, &own->PrivateLinks);
  file->PrivateCacheMap = own;
  ++map->OpenCount;
}

LONGLONG EndOf(const LARGE_INTEGER* offset, ULONG length) {
  return offset == nullptr || length == 0 ? MAXLONGLONG : offset->QuadPart + length;
}

struct Range {
  LONGLONG from;
  LONGLONG to;
};
Range RangeOf(const LARGE_INTEGER* offset, ULONG length) {
  return {offset == nullptr ? 0 : offset->QuadPart, EndOf(offset, length)};
}

// Bytes of the last page beyond the file's end are zeros for who reads them after it grew again.
void CutTail(PSHARED_CACHE_MAP map, LONGLONG size) {
  Purge(map, (size + PAGE_SIZE - 1) & ~static_cast<LONGLONG>(PAGE_SIZE - 1), MAXLONGLONG);
  View* view = FindView(map, size, false);
  const auto in_view = static_cast<ULONG>(size & (kViewSize - 1));
  if (view == nullptr || in_view % PAGE_SIZE == 0 || !((view->valid >> (in_view / PAGE_SIZE)) & 1)) return;
  RtlZeroMemory(view->base + in_view, PAGE_SIZE - in_view % PAGE_SIZE);
}

void DetachPrivate(PSHARED_CACHE_MAP map, PFILE_OBJECT file) {
  auto* own = static_cast<PPRIVATE_CACHE_MAP>(file->PrivateCacheMap);
  RemoveEntryList(&own->PrivateLinks);
  file->PrivateCacheMap = nullptr;
  ExFreePoolWithTag(own, kTag);
  ke::SpinGuard guard(&g_maps_lock);
  --map->OpenCount;
}

}  // namespace

void DereferenceMap(PSHARED_CACHE_MAP map) {
  {
    ke::SpinGuard guard(&g_maps_lock);
    if (--map->Readers != 0 || map->OpenCount != 0) return;
  }
  if (UnlinkIfIdle(map)) {
    DeleteMap(map);
  } else if (map->OpenCount == 0) {
    WakeLazyWriter();
  }
}

}  // namespace cc

/// Begins to cache a file object's stream: its sizes, what the lazy writer calls before and after it writes.
/// Raises STATUS_INSUFFICIENT_RESOURCES.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: the stream's memory sections are not the cache's: the file system keeps them together by
/// CcFlushCache and CcPurgeCacheSection.
/// Source: WDK ntifs/CcInitializeCacheMap.
NT_EXPORT(CcInitializeCacheMap, nt::AtMost(APC_LEVEL), Full, "CcFiles.*");
extern "C" VOID NTAPI CcInitializeCacheMap(PFILE_OBJECT FileObject, PCC_FILE_SIZES FileSizes,
                                           BOOLEAN PinAccess, PCACHE_MANAGER_CALLBACKS Callbacks,
                                           PVOID LazyWriteContext) {
  if (FileObject->PrivateCacheMap != nullptr) return;
  auto* own = static_cast<PPRIVATE_CACHE_MAP>(
      ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(PRIVATE_CACHE_MAP), cc::kTag));
  if (own == nullptr) ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
  PSHARED_CACHE_MAP fresh = cc::NewMap(FileObject, FileSizes);
  if (fresh == nullptr) {
    ExFreePoolWithTag(own, cc::kTag);
    ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
  }
  fresh->PinAccess = PinAccess;
  fresh->Callbacks = *Callbacks;
  fresh->LazyWriteContext = LazyWriteContext;
  PSHARED_CACHE_MAP map;
  {
    ke::SpinGuard guard(&cc::g_maps_lock);
    map = static_cast<PSHARED_CACHE_MAP>(FileObject->SectionObjectPointer->SharedCacheMap);
    if (map == nullptr) {
      map = fresh;
      fresh = nullptr;
      FileObject->SectionObjectPointer->SharedCacheMap = map;
      InsertTailList(&cc::g_maps, &map->SharedCacheMapLinks);
    }
    cc::AddPrivate(map, FileObject, own);
  }
  if (fresh != nullptr) cc::DeleteMap(fresh);
}

/// A file object caches no more. The map goes with its last one, after what is dirty has been written (TRUE:
/// at once); TruncateSize drops what lies behind it. The event is set when the map is gone.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcUninitializeCacheMap.
NT_EXPORT(CcUninitializeCacheMap, nt::AtMost(APC_LEVEL), Full, "CcFiles.*");
extern "C" BOOLEAN NTAPI CcUninitializeCacheMap(PFILE_OBJECT FileObject, PLARGE_INTEGER TruncateSize,
                                                PCACHE_UNINITIALIZE_EVENT UninitializeCompleteEvent) {
  PSHARED_CACHE_MAP map = cc::ReferenceMap(FileObject->SectionObjectPointer);
  if (map == nullptr) {
    cc::SignalUninitialize(UninitializeCompleteEvent);
    return FALSE;
  }
  {
    cc::MapGuard guard(map);
    if (FileObject->PrivateCacheMap != nullptr) cc::DetachPrivate(map, FileObject);
    if (TruncateSize != nullptr && map->OpenCount == 0) cc::CutTail(map, TruncateSize->QuadPart);
    if (UninitializeCompleteEvent != nullptr) {
      UninitializeCompleteEvent->Next = map->UninitializeEvent;
      map->UninitializeEvent = UninitializeCompleteEvent;
    }
  }
  PSECTION_OBJECT_POINTERS pointers = FileObject->SectionObjectPointer;
  cc::DereferenceMap(map);
  return pointers->SharedCacheMap == nullptr;
}

/// Tells the cache of a stream's new sizes; what lies behind a smaller size is forgotten.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcSetFileSizes.
NT_EXPORT(CcSetFileSizes, nt::AtMost(APC_LEVEL), Full, "CcFiles.*");
extern "C" VOID NTAPI CcSetFileSizes(PFILE_OBJECT FileObject, PCC_FILE_SIZES FileSizes) {
  PSHARED_CACHE_MAP map = cc::ReferenceMap(FileObject->SectionObjectPointer);
  if (map == nullptr) return;
  {
    cc::MapGuard guard(map);
    const bool shrinks = FileSizes->FileSize.QuadPart < map->FileSize.QuadPart;
    map->SectionSize = FileSizes->AllocationSize;
    map->FileSize = FileSizes->FileSize;
    if (shrinks) {
      cc::CutTail(map, FileSizes->FileSize.QuadPart);
      if (map->ValidDataLength.QuadPart > map->FileSize.QuadPart) map->ValidDataLength = map->FileSize;
    }
  }
  cc::DereferenceMap(map);
}

/// Writes a range of a cached stream out, or all of it; waits for the file system.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcFlushCache.
NT_EXPORT(CcFlushCache, nt::AtMost(APC_LEVEL), Full, "CcFiles.*");
extern "C" VOID NTAPI CcFlushCache(PSECTION_OBJECT_POINTERS SectionObjectPointer, PLARGE_INTEGER FileOffset,
                                   ULONG Length, PIO_STATUS_BLOCK IoStatus) {
  NTSTATUS status = STATUS_SUCCESS;
  if (PSHARED_CACHE_MAP map = cc::ReferenceMap(SectionObjectPointer); map != nullptr) {
    status = FsRtlAcquireFileForCcFlushEx(map->FileObject);
    if (NT_SUCCESS(status)) {
      {
        cc::MapGuard guard(map);
        const cc::Range range = cc::RangeOf(FileOffset, Length);
        status = cc::Flush(map, range.from, range.to);
      }
      FsRtlReleaseFileForCcFlush(map->FileObject);
    }
    cc::DereferenceMap(map);
  }
  if (IoStatus != nullptr) *IoStatus = {{status}, NT_SUCCESS(status) ? Length : 0};
}

/// Forgets a range of a cached stream, dirty pages too (not with DO_NOT_PURGE_DIRTY_PAGES). With
/// UNINITIALIZE_CACHE_MAPS all file objects' private maps go first. FALSE: a part is mapped, pinned or dirty
/// and stays.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcPurgeCacheSection.
NT_EXPORT(CcPurgeCacheSection, nt::AtMost(APC_LEVEL), Full, "CcFiles.*");
extern "C" BOOLEAN NTAPI CcPurgeCacheSection(PSECTION_OBJECT_POINTERS SectionObjectPointer,
                                             PLARGE_INTEGER FileOffset, ULONG Length, ULONG Flags) {
  PSHARED_CACHE_MAP map = cc::ReferenceMap(SectionObjectPointer);
  if (map == nullptr) return TRUE;
  bool purged;
  {
    cc::MapGuard guard(map);
    if (Flags & UNINITIALIZE_CACHE_MAPS) {
      while (!IsListEmpty(&map->PrivateList))
        cc::DetachPrivate(
            map, CONTAINING_RECORD(map->PrivateList.Flink, PRIVATE_CACHE_MAP, PrivateLinks)->FileObject);
    }
    const cc::Range range = cc::RangeOf(FileOffset, Length);
    const bool keeps = (Flags & DO_NOT_PURGE_DIRTY_PAGES) != 0 && map->DirtyPages != 0;
    purged = !keeps && cc::Purge(map, range.from, range.to);
  }
  cc::DereferenceMap(map);
  return purged;
}

/// Flushes a range and then forgets it (not with CC_FLUSH_AND_PURGE_NO_PURGE). STATUS_CACHE_PAGE_LOCKED: a
/// part is in use and stays.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcCoherencyFlushAndPurgeCache.
NT_EXPORT(CcCoherencyFlushAndPurgeCache, nt::AtMost(PASSIVE_LEVEL), Full, "CcFiles.*");
extern "C" VOID NTAPI CcCoherencyFlushAndPurgeCache(PSECTION_OBJECT_POINTERS SectionObjectPointer,
                                                    PLARGE_INTEGER FileOffset, ULONG Length,
                                                    PIO_STATUS_BLOCK IoStatus, ULONG Flags) {
  CcFlushCache(SectionObjectPointer, FileOffset, Length, IoStatus);
  if (!NT_SUCCESS(IoStatus->Status) || (Flags & CC_FLUSH_AND_PURGE_NO_PURGE)) return;
  if (!CcPurgeCacheSection(SectionObjectPointer, FileOffset, Length, 0))
    IoStatus->Status = STATUS_CACHE_PAGE_LOCKED;
}

/// Whether a volume has a cached stream with dirty pages.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcIsThereDirtyData.
NT_EXPORT(CcIsThereDirtyData, nt::AtMost(DISPATCH_LEVEL), Full, "CcFiles.*");
extern "C" BOOLEAN NTAPI CcIsThereDirtyData(PVPB Vpb) {
  ke::SpinGuard guard(&cc::g_maps_lock);
  for (LIST_ENTRY* link = cc::g_maps.Flink; link != &cc::g_maps; link = link->Flink) {
    auto* map = CONTAINING_RECORD(link, SHARED_CACHE_MAP, SharedCacheMapLinks);
    if (map->FileObject->Vpb == Vpb && map->DirtyPages != 0) return TRUE;
  }
  return FALSE;
}

/// How much read-ahead reads at once for a file object.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: kept; a miss reads 64 KiB at most whatever it is.
/// Source: WDK ntifs/CcSetReadAheadGranularity.
NT_EXPORT(CcSetReadAheadGranularity, nt::AtMost(DISPATCH_LEVEL), Full, "CcFiles.*");
extern "C" VOID NTAPI CcSetReadAheadGranularity(PFILE_OBJECT FileObject, ULONG Granularity) {
  static_cast<PPRIVATE_CACHE_MAP>(FileObject->PrivateCacheMap)->ReadAheadGranularity = Granularity;
}

/// Switches read-ahead and the lazy writer off or on for a stream.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcSetAdditionalCacheAttributes.
NT_EXPORT(CcSetAdditionalCacheAttributes, nt::AtMost(APC_LEVEL), Full, "CcFiles.*");
extern "C" VOID NTAPI CcSetAdditionalCacheAttributes(PFILE_OBJECT FileObject, BOOLEAN DisableReadAhead,
                                                     BOOLEAN DisableWriteBehind) {
  PSHARED_CACHE_MAP map = cc::ReferenceMap(FileObject->SectionObjectPointer);
  if (map == nullptr) return;
  map->DisableReadAhead = DisableReadAhead;
  map->DisableWriteBehind = DisableWriteBehind;
  cc::DereferenceMap(map);
}

/// The same by flags: 1 disables read-ahead, 2 write-behind.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: other flags are ignored.
/// Source: WDK ntifs/CcSetAdditionalCacheAttributesEx.
NT_EXPORT(CcSetAdditionalCacheAttributesEx, nt::AtMost(APC_LEVEL), Full, "CcFiles.*");
extern "C" VOID NTAPI CcSetAdditionalCacheAttributesEx(PFILE_OBJECT FileObject, ULONG Flags) {
  CcSetAdditionalCacheAttributes(FileObject, (Flags & 1) != 0, (Flags & 2) != 0);
}
