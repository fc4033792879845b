// Mapped and pinned data: file systems' metadata, used in the cache itself. A BCB says which bytes; those who
// pin the same bytes share it.
#include "cc_internal.h"

#define CACHE_NTC_BCB 0x02FD

namespace cc {
namespace {

PBCB NewBcb(PSHARED_CACHE_MAP map, View* view, LONGLONG offset, ULONG length, bool pinned) {
  auto* bcb = static_cast<PBCB>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(BCB), kTag));
  if (bcb == nullptr) return nullptr;
  RtlZeroMemory(bcb, sizeof(*bcb));
  bcb->Public.NodeTypeCode = CACHE_NTC_BCB;
  bcb->Public.NodeByteSize = sizeof(BCB);
  bcb->Public.MappedLength = length;
  bcb->Public.MappedFileOffset.QuadPart = offset;
  bcb->SharedCacheMap = map;
  bcb->View = view;
  bcb->BaseAddress = view->base + (offset & (kViewSize - 1));
  bcb->Pinned = pinned;
  ExInitializeResourceLite(&bcb->Resource);
  InterlockedIncrement(&view->users);
  InsertHeadList(&map->BcbList, &bcb->BcbLinks);
  {
    ke::SpinGuard guard(&g_maps_lock);
    ++map->Readers;  // while a BCB lives its map does
  }
  return bcb;
}

PBCB FindPinned(PSHARED_CACHE_MAP map, LONGLONG offset, ULONG length) {
  for (LIST_ENTRY* link = map->BcbList.Flink; link != &map->BcbList; link = link->Flink) {
    auto* bcb = CONTAINING_RECORD(link, BCB, BcbLinks);
    const LONGLONG start = bcb->Public.MappedFileOffset.QuadPart;
    if (bcb->Pinned && start <= offset && offset + length <= start + bcb->Public.MappedLength) return bcb;
  }
  return nullptr;
}

ULONG FirstPage(const BCB* bcb) {
  return static_cast<ULONG>(bcb->Public.MappedFileOffset.QuadPart & (kViewSize - 1)) / PAGE_SIZE;
}
ULONG PageCount(const BCB* bcb) {
  const auto from = static_cast<ULONG>(bcb->Public.MappedFileOffset.QuadPart & (kViewSize - 1));
  return PagesIn(from, from + bcb->Public.MappedLength);
}

enum class Use { kMap, kPin, kOverwrite };

// A BCB for the range, counted once more; its pages are valid.
NTSTATUS Get(PSHARED_CACHE_MAP map, LONGLONG offset, ULONG length, bool wait, Use use, PBCB* result) {
  const auto begin = static_cast<ULONG>(offset & (kViewSize - 1));
  if (length == 0 || length > kViewSize - begin) return STATUS_INVALID_PARAMETER;  // across two views
  MapGuard guard(map);
  View* view = FindView(map, offset, true);
  if (view == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  const NTSTATUS status = use == Use::kOverwrite
                              ? FillForWrite(map, view, begin, begin + length, wait)
                              : FillPages(map, view, begin / PAGE_SIZE, PagesIn(begin, begin + length), wait);
  if (!NT_SUCCESS(status)) return status;
  PBCB bcb = use == Use::kMap ? nullptr : FindPinned(map, offset, length);
  if (bcb == nullptr) bcb = NewBcb(map, view, offset, length, use != Use::kMap);
  if (bcb == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  ++bcb->PinCount;
  *result = bcb;
  return STATUS_SUCCESS;
}

void Release(PBCB bcb) {
  PSHARED_CACHE_MAP map = bcb->SharedCacheMap;
  bool last;
  {
    MapGuard guard(map);
    last = --bcb->PinCount == 0;
    if (last) {
      RemoveEntryList(&bcb->BcbLinks);
      InterlockedDecrement(&bcb->View->users);
    }
  }
  if (!last) return;
  ExDeleteResourceLite(&bcb->Resource);
  ExFreePoolWithTag(bcb, kTag);
  DereferenceMap(map);
}

bool AcquirePin(PBCB bcb, ULONG flags) {
  const auto wait = static_cast<BOOLEAN>((flags & PIN_WAIT) != 0);
  return (flags & PIN_EXCLUSIVE) ? ExAcquireResourceExclusiveLite(&bcb->Resource, wait)
                                 : ExAcquireSharedStarveExclusive(&bcb->Resource, wait);
}

BOOLEAN Answer(NTSTATUS status) {
  if (status == STATUS_CANT_WAIT) return FALSE;
  if (!NT_SUCCESS(status)) ExRaiseStatus(status);
  return TRUE;
}

BOOLEAN Pin(PFILE_OBJECT file, PLARGE_INTEGER offset, ULONG length, ULONG flags, Use use, PVOID* bcb,
            PVOID* buffer) {
  PBCB found = nullptr;
  const NTSTATUS status =
      Get(MapOf(file), offset->QuadPart, length, (flags & (PIN_WAIT | MAP_WAIT)) != 0, use, &found);
  if (!Answer(status)) return FALSE;
  if (use != Use::kMap) {
    KeEnterCriticalRegion();
    const bool acquired = AcquirePin(found, flags);
    KeLeaveCriticalRegion();
    if (!acquired) {
      Release(found);
      return FALSE;
    }
  }
  *bcb = found;
  *buffer = found->BaseAddress + (offset->QuadPart - found->Public.MappedFileOffset.QuadPart);
  return TRUE;
}

void MarkDirty(PBCB bcb) {
  PSHARED_CACHE_MAP map = bcb->SharedCacheMap;
  MapGuard guard(map);
  bcb->Dirty = TRUE;
  SetDirty(map, bcb->View, FirstPage(bcb), PageCount(bcb));
  const LONGLONG end = bcb->Public.MappedFileOffset.QuadPart + bcb->Public.MappedLength;
  if (end > map->ValidDataLength.QuadPart) map->ValidDataLength.QuadPart = end;
}

void Unpin(PVOID pointer, ERESOURCE_THREAD thread) {
  // The lowest bit marks a repinned BCB for some file systems, as on Windows.
  auto* bcb = reinterpret_cast<PBCB>(reinterpret_cast<ULONG_PTR>(pointer) & ~ULONG_PTR{1});
  if (bcb->Pinned) ExReleaseResourceForThreadLite(&bcb->Resource, thread);
  Release(bcb);
}

}  // namespace
}  // namespace cc

/// Maps a range of a cached stream for reading; it stays in memory until CcUnpinData. The range lies in one
/// 256 KiB view (STATUS_INVALID_PARAMETER is raised if not). Without MAP_WAIT, FALSE if that needs a read.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcMapData.
NT_EXPORT(CcMapData, nt::AtMost(APC_LEVEL), Full, "CcPins.*");
extern "C" BOOLEAN NTAPI CcMapData(PFILE_OBJECT FileObject, PLARGE_INTEGER FileOffset, ULONG Length,
                                   ULONG Flags, PVOID* Bcb, PVOID* Buffer) {
  return cc::Pin(FileObject, FileOffset, Length, Flags, cc::Use::kMap, Bcb, Buffer);
}

/// Pins a range of a cached stream: it stays in memory, and may be changed (CcSetDirtyPinnedData), until
/// CcUnpinData. PIN_EXCLUSIVE keeps others off. Without PIN_WAIT, FALSE if it would have to wait.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: PIN_IF_BCB pins too.
/// Source: WDK ntifs/CcPinRead.
NT_EXPORT(CcPinRead, nt::AtMost(APC_LEVEL), Full, "CcPins.*");
extern "C" BOOLEAN NTAPI CcPinRead(PFILE_OBJECT FileObject, PLARGE_INTEGER FileOffset, ULONG Length,
                                   ULONG Flags, PVOID* Bcb, PVOID* Buffer) {
  return cc::Pin(FileObject, FileOffset, Length, Flags, cc::Use::kPin, Bcb, Buffer);
}

/// Pins a range that is mapped; *Bcb becomes the pin and takes the place of the mapping.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcPinMappedData.
NT_EXPORT(CcPinMappedData, nt::AtMost(PASSIVE_LEVEL), Full, "CcPins.*");
extern "C" BOOLEAN NTAPI CcPinMappedData(PFILE_OBJECT FileObject, PLARGE_INTEGER FileOffset, ULONG Length,
                                         ULONG Flags, PVOID* Bcb) {
  if (static_cast<PBCB>(*Bcb)->Pinned) return TRUE;
  PVOID pinned, buffer;
  if (!cc::Pin(FileObject, FileOffset, Length, Flags, cc::Use::kPin, &pinned, &buffer)) return FALSE;
  cc::Release(static_cast<PBCB>(*Bcb));
  *Bcb = pinned;
  return TRUE;
}

/// Pins a range that will be written whole: pages wholly inside it are not read. With Zero they are zeroed.
/// The data is dirty from now on.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcPreparePinWrite.
NT_EXPORT(CcPreparePinWrite, nt::AtMost(PASSIVE_LEVEL), Full, "CcPins.*");
extern "C" BOOLEAN NTAPI CcPreparePinWrite(PFILE_OBJECT FileObject, PLARGE_INTEGER FileOffset, ULONG Length,
                                           BOOLEAN Zero, ULONG Flags, PVOID* Bcb, PVOID* Buffer) {
  if (!cc::Pin(FileObject, FileOffset, Length, Flags, cc::Use::kOverwrite, Bcb, Buffer)) return FALSE;
  if (Zero) RtlZeroMemory(*Buffer, Length);
  cc::MarkDirty(static_cast<PBCB>(*Bcb));
  return TRUE;
}

/// The pinned data was changed: the lazy writer writes it.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: the log sequence number is not kept; no log file is flushed before the data.
/// Source: WDK ntifs/CcSetDirtyPinnedData.
NT_EXPORT(CcSetDirtyPinnedData, nt::AtMost(APC_LEVEL), Partial, "CcPins.*");
extern "C" VOID NTAPI CcSetDirtyPinnedData(PVOID BcbVoid, PLARGE_INTEGER) {
  cc::MarkDirty(static_cast<PBCB>(BcbVoid));
}

/// Gives up a mapping or a pin.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcUnpinData.
NT_EXPORT(CcUnpinData, nt::AtMost(PASSIVE_LEVEL), Full, "CcPins.*");
extern "C" VOID NTAPI CcUnpinData(PVOID Bcb) {
  cc::Unpin(Bcb, ExGetCurrentResourceThread());
}

/// Gives up a pin that another thread (or owner, see CcSetBcbOwnerPointer) made.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcUnpinDataForThread.
NT_EXPORT(CcUnpinDataForThread, nt::AtMost(PASSIVE_LEVEL), Full, "CcPins.*");
extern "C" VOID NTAPI CcUnpinDataForThread(PVOID Bcb, ERESOURCE_THREAD ResourceThreadId) {
  cc::Unpin(Bcb, ResourceThreadId);
}

/// Hands a pin to an owner that is no thread: its address with the two lowest bits set.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcSetBcbOwnerPointer.
NT_EXPORT(CcSetBcbOwnerPointer, nt::AtMost(APC_LEVEL), Full, "CcPins.*");
extern "C" VOID NTAPI CcSetBcbOwnerPointer(PVOID Bcb, PVOID OwnerPointer) {
  ExSetResourceOwnerPointer(&static_cast<PBCB>(Bcb)->Resource, OwnerPointer);
}

/// Keeps a BCB beyond its CcUnpinData, until CcUnpinRepinnedBcb.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcRepinBcb.
NT_EXPORT(CcRepinBcb, nt::AtMost(APC_LEVEL), Full, "CcPins.*");
extern "C" VOID NTAPI CcRepinBcb(PVOID Bcb) {
  auto* bcb = static_cast<PBCB>(Bcb);
  cc::MapGuard guard(bcb->SharedCacheMap);
  ++bcb->PinCount;
}

/// Gives that up; with WriteThrough the data is written first.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcUnpinRepinnedBcb.
NT_EXPORT(CcUnpinRepinnedBcb, nt::AtMost(APC_LEVEL), Full, "CcPins.*");
extern "C" VOID NTAPI CcUnpinRepinnedBcb(PVOID Bcb, BOOLEAN WriteThrough, PIO_STATUS_BLOCK IoStatus) {
  auto* bcb = static_cast<PBCB>(Bcb);
  *IoStatus = {{STATUS_SUCCESS}, 0};
  if (WriteThrough && bcb->Dirty) {
    cc::MapGuard guard(bcb->SharedCacheMap);
    const LONGLONG offset = bcb->Public.MappedFileOffset.QuadPart;
    IoStatus->Status = cc::Flush(bcb->SharedCacheMap, offset, offset + bcb->Public.MappedLength);
    IoStatus->Information = NT_SUCCESS(IoStatus->Status) ? bcb->Public.MappedLength : 0;
  }
  cc::Release(bcb);
}

/// The file object that a BCB's stream is cached by.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcGetFileObjectFromBcb.
NT_EXPORT(CcGetFileObjectFromBcb, nt::AtMost(APC_LEVEL), Full, "CcPins.*");
extern "C" PFILE_OBJECT NTAPI CcGetFileObjectFromBcb(PVOID Bcb) {
  return static_cast<PBCB>(Bcb)->SharedCacheMap->FileObject;
}
