// The cache's own pages as MDLs, for those who send or receive them without a copy (network servers).
#include "cc_internal.h"

namespace cc {
namespace {

DECLSPEC_NOINLINE NTSTATUS LockPages(PMDL mdl, LOCK_OPERATION operation) {
  __try {
    MmProbeAndLockPages(mdl, KernelMode, operation);
  } __except (EXCEPTION_EXECUTE_HANDLER) {
    return GetExceptionCode();
  }
  return STATUS_SUCCESS;
}

// Each MDL stands for a use of the view that it describes.
void FreeChain(PSHARED_CACHE_MAP map, PMDL chain) {
  while (chain != nullptr) {
    PMDL next = chain->Next;
    const auto* address = static_cast<const UCHAR*>(MmGetMdlVirtualAddress(chain));
    MmUnlockPages(chain);
    IoFreeMdl(chain);
    MapGuard guard(map);
    for (LIST_ENTRY* link = map->Views.Flink; link != &map->Views; link = link->Flink) {
      auto* view = CONTAINING_RECORD(link, View, link);
      if (address < view->base || address >= view->base + kViewSize) continue;
      InterlockedDecrement(&view->users);
      break;
    }
    chain = next;
  }
}

// One view's part of a range, locked into an MDL.
NTSTATUS Describe(PSHARED_CACHE_MAP map, LONGLONG offset, ULONG length, bool write, PMDL* result) {
  MapGuard guard(map);
  const auto begin = static_cast<ULONG>(offset & (kViewSize - 1));
  View* view = FindView(map, offset, true);
  if (view == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  NTSTATUS status = write ? FillForWrite(map, view, begin, begin + length, true)
                          : FillPages(map, view, begin / PAGE_SIZE, PagesIn(begin, begin + length), true);
  if (!NT_SUCCESS(status)) return status;
  PMDL mdl = IoAllocateMdl(view->base + begin, length, FALSE, FALSE, nullptr);
  if (mdl == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  status = LockPages(mdl, write ? IoWriteAccess : IoReadAccess);
  if (!NT_SUCCESS(status)) {
    IoFreeMdl(mdl);
    return status;
  }
  InterlockedIncrement(&view->users);
  *result = mdl;
  return STATUS_SUCCESS;
}

void Build(PFILE_OBJECT file, LONGLONG offset, ULONG length, bool write, PMDL* chain, PIO_STATUS_BLOCK iosb) {
  PSHARED_CACHE_MAP map = ReferenceMap(file->SectionObjectPointer);
  PMDL* tail = chain;
  while (*tail != nullptr) tail = &(*tail)->Next;
  PMDL* const first = tail;
  NTSTATUS status = STATUS_SUCCESS;
  ULONG done = 0;
  while (NT_SUCCESS(status) && done < length) {
    const ULONG room = kViewSize - static_cast<ULONG>((offset + done) & (kViewSize - 1));
    const ULONG part = length - done < room ? length - done : room;
    status = Describe(map, offset + done, part, write, tail);
    if (!NT_SUCCESS(status)) break;
    tail = &(*tail)->Next;
    done += part;
  }
  *iosb = {{status}, NT_SUCCESS(status) ? length : 0};
  if (!NT_SUCCESS(status)) {
    FreeChain(map, *first);
    *first = nullptr;
    DereferenceMap(map);
    ExRaiseStatus(status);
  }
  // The reference stays with the chain.
}

void Finish(PFILE_OBJECT file, PMDL chain) {
  PSHARED_CACHE_MAP map = MapOf(file);
  FreeChain(map, chain);
  DereferenceMap(map);
}

}  // namespace
}  // namespace cc

/// Locks a range of a cached stream and adds MDLs for it to a chain; CcMdlReadComplete gives it back. Raises
/// what fails.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcMdlRead.
NT_EXPORT(CcMdlRead, nt::AtMost(APC_LEVEL), Full, "CcMdls.*");
extern "C" VOID NTAPI CcMdlRead(PFILE_OBJECT FileObject, PLARGE_INTEGER FileOffset, ULONG Length,
                                PMDL* MdlChain, PIO_STATUS_BLOCK IoStatus) {
  cc::Build(FileObject, FileOffset->QuadPart, Length, false, MdlChain, IoStatus);
}

/// Frees a chain of CcMdlRead.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcMdlReadComplete.
NT_EXPORT(CcMdlReadComplete, nt::AtMost(PASSIVE_LEVEL), Full, "CcMdls.*");
extern "C" VOID NTAPI CcMdlReadComplete(PFILE_OBJECT FileObject, PMDL MdlChain) {
  cc::Finish(FileObject, MdlChain);
}

/// Locks a range that will be written into the cache's own pages, as MDLs; pages wholly inside are not read.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcPrepareMdlWrite.
NT_EXPORT(CcPrepareMdlWrite, nt::AtMost(APC_LEVEL), Full, "CcMdls.*");
extern "C" VOID NTAPI CcPrepareMdlWrite(PFILE_OBJECT FileObject, PLARGE_INTEGER FileOffset, ULONG Length,
                                        PMDL* MdlChain, PIO_STATUS_BLOCK IoStatus) {
  cc::Build(FileObject, FileOffset->QuadPart, Length, true, MdlChain, IoStatus);
}

/// The data is there: it is dirty (FO_WRITE_THROUGH: written now), and the chain is freed. Raises the status
/// of a write that fails.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcMdlWriteComplete.
NT_EXPORT(CcMdlWriteComplete, nt::AtMost(PASSIVE_LEVEL), Full, "CcMdls.*");
extern "C" VOID NTAPI CcMdlWriteComplete(PFILE_OBJECT FileObject, PLARGE_INTEGER FileOffset, PMDL MdlChain) {
  PSHARED_CACHE_MAP map = cc::MapOf(FileObject);
  NTSTATUS status = STATUS_SUCCESS;
  {
    cc::MapGuard guard(map);
    LONGLONG offset = FileOffset->QuadPart;
    for (PMDL mdl = MdlChain; mdl != nullptr; mdl = mdl->Next) {
      const ULONG length = MmGetMdlByteCount(mdl);
      const auto begin = static_cast<ULONG>(offset & (cc::kViewSize - 1));
      cc::SetDirty(map, cc::FindView(map, offset, false), begin / PAGE_SIZE,
                   cc::PagesIn(begin, begin + length));
      offset += length;
    }
    if (offset > map->ValidDataLength.QuadPart) map->ValidDataLength.QuadPart = offset;
    if (FileObject->Flags & FO_WRITE_THROUGH) status = cc::Flush(map, FileOffset->QuadPart, offset);
  }
  cc::Finish(FileObject, MdlChain);
  if (!NT_SUCCESS(status)) ExRaiseStatus(status);
}

/// Frees a chain of CcPrepareMdlWrite whose data did not come.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcMdlWriteAbort.
NT_EXPORT(CcMdlWriteAbort, nt::AtMost(PASSIVE_LEVEL), Full, "CcMdls.*");
extern "C" VOID NTAPI CcMdlWriteAbort(PFILE_OBJECT FileObject, PMDL MdlChain) {
  cc::Finish(FileObject, MdlChain);
}
