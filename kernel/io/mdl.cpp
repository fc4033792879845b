// Memory descriptor lists: allocation. Locking and mapping are mm's.
#include "io_internal.h"
#include "nt/export.h"

/// An MDL for a buffer; with an IRP it becomes (or is appended to) the IRP's. The pages are not locked yet.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoAllocateMdl.
NT_EXPORT(IoAllocateMdl, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" PMDL NTAPI IoAllocateMdl(PVOID VirtualAddress, ULONG Length, BOOLEAN SecondaryBuffer,
                                    BOOLEAN ChargeQuota, PIRP Irp) {
  // MDL.Size is a CSHORT: of a large MDL only its low half is kept, as on Windows.
  const SIZE_T size =
      sizeof(MDL) + sizeof(PFN_NUMBER) * ADDRESS_AND_SIZE_TO_SPAN_PAGES(VirtualAddress, Length);
  constexpr auto kQuotaPool = static_cast<POOL_TYPE>(NonPagedPoolNx | POOL_QUOTA_FAIL_INSTEAD_OF_RAISE);
  auto* mdl = static_cast<PMDL>(ChargeQuota ? ExAllocatePoolWithQuotaTag(kQuotaPool, size, ' ldM')
                                            : ExAllocatePoolWithTag(NonPagedPoolNx, size, ' ldM'));
  if (mdl == nullptr) return nullptr;
  MmInitializeMdl(mdl, VirtualAddress, Length);
  if (Irp == nullptr) return mdl;
  if (!SecondaryBuffer) {
    Irp->MdlAddress = mdl;
    return mdl;
  }
  PMDL* link = &Irp->MdlAddress;
  while (*link != nullptr) link = &(*link)->Next;
  *link = mdl;
  return mdl;
}

/// Frees an MDL; a partial MDL's mapping goes too.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoFreeMdl.
NT_EXPORT(IoFreeMdl, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" VOID NTAPI IoFreeMdl(PMDL Mdl) {
  if (Mdl->MdlFlags & MDL_PARTIAL_HAS_BEEN_MAPPED) MmUnmapLockedPages(Mdl->MappedSystemVa, Mdl);
  ExFreePoolWithTag(Mdl, ' ldM');
}

/// Makes an MDL describe a part of what another, locked one describes.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoBuildPartialMdl.
NT_EXPORT(IoBuildPartialMdl, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" VOID NTAPI IoBuildPartialMdl(PMDL SourceMdl, PMDL TargetMdl, PVOID VirtualAddress, ULONG Length) {
  auto* source_start = static_cast<UCHAR*>(MmGetMdlVirtualAddress(SourceMdl));
  const auto distance = static_cast<ULONG>(static_cast<UCHAR*>(VirtualAddress) - source_start);
  if (Length == 0) Length = MmGetMdlByteCount(SourceMdl) - distance;
  const auto first_page = (reinterpret_cast<ULONG_PTR>(VirtualAddress) >> PAGE_SHIFT) -
                          (reinterpret_cast<ULONG_PTR>(SourceMdl->StartVa) >> PAGE_SHIFT);
  TargetMdl->StartVa = PAGE_ALIGN(VirtualAddress);
  TargetMdl->ByteOffset = BYTE_OFFSET(VirtualAddress);
  TargetMdl->ByteCount = Length;
  TargetMdl->Process = SourceMdl->Process;
  constexpr CSHORT kInherited = MDL_SOURCE_IS_NONPAGED_POOL | MDL_MAPPED_TO_SYSTEM_VA | MDL_IO_SPACE;
  TargetMdl->MdlFlags = static_cast<CSHORT>((TargetMdl->MdlFlags & MDL_ALLOCATED_FIXED_SIZE) | MDL_PARTIAL |
                                            (SourceMdl->MdlFlags & kInherited));
  TargetMdl->MappedSystemVa = static_cast<UCHAR*>(SourceMdl->MappedSystemVa) + distance;
  const ULONG pages = ADDRESS_AND_SIZE_TO_SPAN_PAGES(VirtualAddress, Length);
  RtlCopyMemory(MmGetMdlPfnArray(TargetMdl), MmGetMdlPfnArray(SourceMdl) + first_page,
                pages * sizeof(PFN_NUMBER));
}
