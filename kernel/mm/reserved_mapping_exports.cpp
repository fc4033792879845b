// Reserved mappings: addresses that a driver keeps so that a mapping cannot fail.
#include "ke/ke.h"
#include "mm/mdl_internal.h"
#include "nt/export.h"

namespace {

using mm::kPageSize;

constexpr ULONG kReservedTag = 'vRmM';

struct Reserved {
  LIST_ENTRY link;
  ULONG64 va;
  ULONG64 pages;
  ULONG tag;
};

KSPIN_LOCK g_reserved_lock;
LIST_ENTRY g_reserved = {&g_reserved, &g_reserved};

Reserved* Find(ULONG64 va) {
  for (PLIST_ENTRY link = g_reserved.Flink; link != &g_reserved; link = link->Flink) {
    auto* reserved = CONTAINING_RECORD(link, Reserved, link);
    if (reserved->va == va) return reserved;
  }
  return nullptr;
}

// The reservation at an address; bug check 0xDA with the codes for no reservation and a wrong tag.
Reserved* FindOwn(PVOID address, ULONG tag, ULONG none, ULONG wrong_tag) {
  ke::SpinGuard guard(&g_reserved_lock);
  Reserved* reserved = Find(mm::Va(address));
  if (reserved == nullptr) KeBugCheckEx(SYSTEM_PTE_MISUSE, none, mm::Va(address), tag, 0);
  if (reserved->tag != tag) KeBugCheckEx(SYSTEM_PTE_MISUSE, wrong_tag, mm::Va(address), tag, reserved->tag);
  return reserved;
}

// The first page whose PTE is (or is not) zero, `pages` if there is none.
ULONG64 FirstPage(const Reserved* reserved, ULONG64 from, ULONG64 to, bool mapped) {
  for (ULONG64 i = from; i < to; ++i) {
    if ((mm::Load(mm::PteOf(reserved->va) + i).u.Long != 0) == mapped) return i;
  }
  return to;
}

}  // namespace

/// Reserves system addresses for MmMapLockedPagesWithReservedMapping; the tag names their owner.
/// Returns: the address, NULL when there is no room.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/MmAllocateMappingAddress.
NT_EXPORT(MmAllocateMappingAddress, nt::AtMost(APC_LEVEL), Full, "MmMdl.ReservedMapping*");
extern "C" PVOID NTAPI MmAllocateMappingAddress(SIZE_T NumberOfBytes, ULONG PoolTag) {
  const ULONG64 pages = mm::PagesFor(NumberOfBytes);
  if (pages == 0) KeBugCheckEx(SYSTEM_PTE_MISUSE, 0x100, 0, PoolTag, mm::Va(__builtin_return_address(0)));
  auto* reserved =
      static_cast<Reserved*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Reserved), kReservedTag));
  if (reserved == nullptr) return nullptr;
  const ULONG64 va = mm::ReserveSystemPtes(pages);
  if (va == 0) {
    ExFreePoolWithTag(reserved, kReservedTag);
    return nullptr;
  }
  *reserved = {{}, va, pages, PoolTag};
  ke::SpinGuard guard(&g_reserved_lock);
  InsertTailList(&g_reserved, &reserved->link);
  return reinterpret_cast<PVOID>(va);
}

/// Gives back what MmAllocateMappingAddress reserved. Somebody else's tag is bug check 0xDA (0x101), an
/// address that is not reserved 0xDA (0x102), one that is still mapped 0xDA (0x103).
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/MmFreeMappingAddress.
NT_EXPORT(MmFreeMappingAddress, nt::AtMost(APC_LEVEL), Full, "MmMdl.ReservedMapping*");
extern "C" VOID NTAPI MmFreeMappingAddress(PVOID BaseAddress, ULONG PoolTag) {
  Reserved* reserved = FindOwn(BaseAddress, PoolTag, 0x102, 0x101);
  const ULONG64 mapped = FirstPage(reserved, 0, reserved->pages, true);
  if (mapped != reserved->pages) {
    KeBugCheckEx(SYSTEM_PTE_MISUSE, 0x103, reserved->va + mapped * kPageSize, PoolTag, reserved->pages);
  }
  {
    ke::SpinGuard guard(&g_reserved_lock);
    RemoveEntryList(&reserved->link);
  }
  mm::RetireRange(mm::g_system_pte_region, reserved->va, reserved->pages, mm::FreePagesToo::kNo);
  ExFreePoolWithTag(reserved, kReservedTag);
}

/// Maps an MDL's locked pages at addresses of MmAllocateMappingAddress.
/// Returns: the address of the buffer's first byte, NULL when the MDL has more pages than were reserved. Bug
/// check 0xDA: 0x104 for somebody else's tag, 0x105 for an address that is not reserved, 0x107 where
/// something is mapped.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/MmMapLockedPagesWithReservedMapping.
NT_EXPORT(MmMapLockedPagesWithReservedMapping, nt::AtMost(DISPATCH_LEVEL), Full, "MmMdl.ReservedMapping*");
extern "C" PVOID NTAPI MmMapLockedPagesWithReservedMapping(PVOID MappingAddress, ULONG PoolTag,
                                                           PMDL MemoryDescriptorList,
                                                           MEMORY_CACHING_TYPE CacheType) {
  PMDL mdl = MemoryDescriptorList;
  const Reserved* reserved = FindOwn(MappingAddress, PoolTag, 0x105, 0x104);
  const ULONG64 count = mm::PageCountOf(mdl);
  if (count > reserved->pages) return nullptr;
  const ULONG64 mapped = FirstPage(reserved, 0, reserved->pages, true);
  if (mapped != reserved->pages) {
    KeBugCheckEx(SYSTEM_PTE_MISUSE, 0x107, reserved->va, reserved->va + mapped * kPageSize,
                 reserved->va + (reserved->pages - 1) * kPageSize);
  }
  for (ULONG64 i = 0; i < count; ++i) {
    mm::Store(mm::PteOf(reserved->va) + i,
              mm::ValidPte(mm::PagesOf(mdl)[i], mm::Protection::kReadWrite, mm::CacheOf(CacheType)));
  }
  mdl->MappedSystemVa = reinterpret_cast<PVOID>(reserved->va + mdl->ByteOffset);
  mdl->MdlFlags |= MDL_MAPPED_TO_SYSTEM_VA;
  if ((mdl->MdlFlags & MDL_PARTIAL) != 0) mdl->MdlFlags |= MDL_PARTIAL_HAS_BEEN_MAPPED;
  return mdl->MappedSystemVa;
}

/// Unmaps what MmMapLockedPagesWithReservedMapping mapped; the addresses stay reserved. Bug check 0xDA: 0x108
/// for somebody else's tag, 0x109 for an address that is not reserved, 0x10A for more pages than reserved,
/// 0x10B where nothing is mapped, 0x10C when pages would stay mapped.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/MmUnmapReservedMapping.
NT_EXPORT(MmUnmapReservedMapping, nt::AtMost(DISPATCH_LEVEL), Full, "MmMdl.ReservedMapping*");
extern "C" VOID NTAPI MmUnmapReservedMapping(PVOID BaseAddress, ULONG PoolTag, PMDL MemoryDescriptorList) {
  PMDL mdl = MemoryDescriptorList;
  const auto page = reinterpret_cast<PVOID>(mm::Va(BaseAddress) & ~(kPageSize - 1));
  const Reserved* reserved = FindOwn(page, PoolTag, 0x109, 0x108);
  const ULONG64 count = mm::PageCountOf(mdl);
  if (count > reserved->pages) KeBugCheckEx(SYSTEM_PTE_MISUSE, 0x10A, reserved->va, reserved->pages, count);
  if (FirstPage(reserved, 0, count, false) != count) {
    KeBugCheckEx(SYSTEM_PTE_MISUSE, 0x10B, reserved->va, PoolTag, count);
  }
  if (FirstPage(reserved, count, reserved->pages, true) != reserved->pages) {
    KeBugCheckEx(SYSTEM_PTE_MISUSE, 0x10C, reserved->va, PoolTag, count);
  }
  for (ULONG64 i = 0; i < count; ++i) mm::Store(mm::PteOf(reserved->va) + i, MMPTE{});
  KeFlushEntireTb(TRUE, TRUE);
  mdl->MdlFlags &= static_cast<CSHORT>(~(MDL_MAPPED_TO_SYSTEM_VA | MDL_PARTIAL_HAS_BEEN_MAPPED));
  mdl->MappedSystemVa = nullptr;
}

/// An MDL for ranges of device memory, given as a list of physical addresses and sizes (whole pages); the
/// caller frees it with IoFreeMdl. Returns: STATUS_INVALID_PARAMETER_1 for a range that is not whole pages or
/// is RAM, STATUS_INVALID_PARAMETER_2 for an empty list, STATUS_INSUFFICIENT_RESOURCES.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/MmAllocateMdlForIoSpace.
NT_EXPORT(MmAllocateMdlForIoSpace, nt::AtMost(DISPATCH_LEVEL), Full, "MmMdl.IoSpace*");
extern "C" NTSTATUS NTAPI MmAllocateMdlForIoSpace(PMM_PHYSICAL_ADDRESS_LIST PhysicalAddressList,
                                                  SIZE_T NumberOfEntries, PMDL* NewMdl) {
  if (NumberOfEntries == 0) return STATUS_INVALID_PARAMETER_2;
  ULONG64 pages = 0;
  for (SIZE_T i = 0; i < NumberOfEntries; ++i) {
    const auto start = static_cast<ULONG64>(PhysicalAddressList[i].PhysicalAddress.QuadPart);
    const ULONG64 bytes = PhysicalAddressList[i].NumberOfBytes;
    const bool ram = mm::PfnRecordOrNull(start / kPageSize) != nullptr;
    if (start % kPageSize != 0 || bytes % kPageSize != 0 || bytes == 0 || ram)
      return STATUS_INVALID_PARAMETER_1;
    pages += bytes / kPageSize;
  }
  if (pages > 0xFFFFF) return STATUS_INVALID_PARAMETER_1;
  PMDL mdl = IoAllocateMdl(nullptr, static_cast<ULONG>(pages * kPageSize), FALSE, FALSE, nullptr);
  if (mdl == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  PPFN_NUMBER page = mm::PagesOf(mdl);
  for (SIZE_T i = 0; i < NumberOfEntries; ++i) {
    const auto start = static_cast<ULONG64>(PhysicalAddressList[i].PhysicalAddress.QuadPart) / kPageSize;
    for (ULONG64 n = 0; n < PhysicalAddressList[i].NumberOfBytes / kPageSize; ++n) *page++ = start + n;
  }
  mdl->MdlFlags |= MDL_IO_SPACE;
  *NewMdl = mdl;
  return STATUS_SUCCESS;
}
