// Addresses and physical memory: MmMapIoSpace, MmGetPhysicalAddress, MmAllocateContiguousMemory, ...
#include "mm/mdl_internal.h"
#include "nt/export.h"

namespace {

using mm::kPageSize;

using mm::CacheOf;

mm::Protection ProtectionOfWin32(ULONG protect) {
  switch (protect & 0xFF) {
    case PAGE_READONLY:
      return mm::Protection::kReadOnly;
    case PAGE_EXECUTE:
    case PAGE_EXECUTE_READ:
      return mm::Protection::kExecuteRead;
    case PAGE_EXECUTE_READWRITE:
      return mm::Protection::kExecuteReadWrite;
    default:
      return mm::Protection::kReadWrite;
  }
}

mm::Cache CacheOfWin32(ULONG protect) {
  if ((protect & PAGE_NOCACHE) != 0) return mm::Cache::kUncached;
  return (protect & PAGE_WRITECOMBINE) != 0 ? mm::Cache::kWriteCombined : mm::Cache::kCached;
}

PVOID MapIo(PHYSICAL_ADDRESS physical, SIZE_T bytes, mm::Protection protection, mm::Cache cache,
            PVOID caller) {
  const auto first = static_cast<ULONG64>(physical.QuadPart);
  constexpr ULONG64 kPhysicalLimit = 1ull << 46;
  if (bytes == 0 || first >= kPhysicalLimit || bytes > kPhysicalLimit - first) return nullptr;
  const ULONG64 offset = first % kPageSize;
  const ULONG64 pages = mm::PagesFor(offset + bytes);
  const ULONG64 va = mm::MapPhysicalPages(first / kPageSize, pages, protection, cache);
  if (va != 0) mm::NotePtes(va, pages, caller);
  return va == 0 ? nullptr : reinterpret_cast<PVOID>(va + offset);
}

// Contiguous memory is remembered by its first record: the run's length stands in u2.
constexpr ULONG64 kRunMark = 0xC0471600'00000000;

PVOID AllocateContiguous(SIZE_T bytes, ULONG64 low, ULONG64 high, ULONG64 boundary, mm::Cache cache,
                         mm::Protection protection = mm::Protection::kReadWrite) {
  if (bytes == 0) return nullptr;
  const ULONG64 pages = mm::PagesFor(bytes);
  const ULONG64 first = mm::PagesFor(low);
  const ULONG64 end = high >= ~0ull - kPageSize ? ~0ull : (high + 1) / kPageSize;
  const PFN_NUMBER run = mm::AllocatePageRun(pages, first, end, boundary / kPageSize);
  if (run == mm::kNoPage) return nullptr;
  mm::SetPageCache(run, pages, mm::PageCacheOf(cache));
  const ULONG64 va = mm::MapPhysicalPages(run, pages, protection, cache);
  if (va == 0) {
    mm::FreePageRun(run, pages);
    return nullptr;
  }
  MmPfnDatabase[run].u2.ShareCount = kRunMark | pages;
  return reinterpret_cast<PVOID>(va);
}

}  // namespace

/// Maps device memory (or any physical range) into system space and returns the address, with the offset in
/// the page. Returns: the address, NULL when there is no room.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none known; the memory is not executable, as with memory integrity on Windows. A range of
/// RAM is cached as its other mappings are.
/// Source: WDK wdm/MmMapIoSpace.
NT_EXPORT(MmMapIoSpace, nt::AtMost(DISPATCH_LEVEL), Full, "MmMapping.IoSpace*");
extern "C" PVOID NTAPI MmMapIoSpace(PHYSICAL_ADDRESS PhysicalAddress, SIZE_T NumberOfBytes,
                                    MEMORY_CACHING_TYPE CacheEnable) {
  return MapIo(PhysicalAddress, NumberOfBytes, mm::Protection::kReadWrite, CacheOf(CacheEnable),
               __builtin_return_address(0));
}

/// Maps device memory with a PAGE_* protection (and PAGE_NOCACHE, PAGE_WRITECOMBINE).
/// Returns: the address, NULL when there is no room.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/MmMapIoSpaceEx.
NT_EXPORT(MmMapIoSpaceEx, nt::AtMost(DISPATCH_LEVEL), Full, "MmMapping.IoSpaceEx*");
extern "C" PVOID NTAPI MmMapIoSpaceEx(PHYSICAL_ADDRESS PhysicalAddress, SIZE_T NumberOfBytes, ULONG Protect) {
  return MapIo(PhysicalAddress, NumberOfBytes, ProtectionOfWin32(Protect), CacheOfWin32(Protect),
               __builtin_return_address(0));
}

/// Unmaps what MmMapIoSpace mapped. Address and size are those of that call; others are bug check 0xDA (0x302
/// to 0x305).
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/MmUnmapIoSpace.
NT_EXPORT(MmUnmapIoSpace, nt::AtMost(DISPATCH_LEVEL), Full, "MmMapping.IoSpace*");
extern "C" VOID NTAPI MmUnmapIoSpace(PVOID BaseAddress, SIZE_T NumberOfBytes) {
  const ULONG64 offset = mm::Va(BaseAddress) % kPageSize;
  const ULONG64 va = mm::Va(BaseAddress) - offset;
  const ULONG64 pages = mm::PagesFor(offset + NumberOfBytes);
  mm::CheckSystemPtes(va, pages);
  mm::ForgetPtes(va);
  mm::RetireRange(mm::g_system_pte_region, va, pages, mm::FreePagesToo::kNo);
}

/// The physical address behind a resident virtual address; 0 for an address that is not resident.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntddk/MmGetPhysicalAddress.
NT_EXPORT(MmGetPhysicalAddress, nt::AnyIrql(), Full, "MmMapping.PhysicalAddress*");
extern "C" PHYSICAL_ADDRESS NTAPI MmGetPhysicalAddress(PVOID BaseAddress) {
  const mm::Walk walk = mm::WalkTables(mm::Va(BaseAddress));
  PHYSICAL_ADDRESS result;
  result.QuadPart = walk.valid ? static_cast<LONGLONG>(walk.physical) : 0;
  return result;
}

/// The address at which a page of RAM is mapped: where its owner sees it, or the kernel's map of all memory.
/// IRQL: any.
/// Differs from NT: for a page of a process's own memory the address is one of that process.
/// Source: WDK ntddk/MmGetVirtualForPhysical.
NT_EXPORT(MmGetVirtualForPhysical, nt::AnyIrql(), Full, "MmMapping.PhysicalAddress*");
extern "C" PVOID NTAPI MmGetVirtualForPhysical(PHYSICAL_ADDRESS PhysicalAddress) {
  const auto physical = static_cast<ULONG64>(PhysicalAddress.QuadPart);
  const PMMPFN record = mm::PfnRecordOrNull(physical / kPageSize);
  const bool mapped = record != nullptr && record->PteAddress != nullptr && record->u4.PrototypePte == 0 &&
                      mm::IsPteOfSelfMap(record->PteAddress);
  if (!mapped) return MmPhysicalToVirtual(physical);
  return reinterpret_cast<PVOID>(mm::VaOf(record->PteAddress) + physical % kPageSize);
}

/// TRUE if reading the address would not fault now.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/MmIsAddressValid.
NT_EXPORT(MmIsAddressValid, nt::AtMost(DISPATCH_LEVEL), Full, "MmMapping.AddressValid*");
extern "C" BOOLEAN NTAPI MmIsAddressValid(PVOID VirtualAddress) {
  return mm::WalkTables(mm::Va(VirtualAddress)).valid;
}

/// TRUE if the address is a resident system address.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/MmIsNonPagedSystemAddressValid.
NT_EXPORT(MmIsNonPagedSystemAddressValid, nt::AtMost(DISPATCH_LEVEL), Full, "MmMapping.AddressValid*");
extern "C" BOOLEAN NTAPI MmIsNonPagedSystemAddressValid(PVOID VirtualAddress) {
  return mm::IsSystemAddress(mm::Va(VirtualAddress)) && mm::WalkTables(mm::Va(VirtualAddress)).valid;
}

/// Physically contiguous, cached, page-aligned memory at or below HighestAcceptableAddress; not zeroed.
/// Returns: the address, NULL when there is none.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/MmAllocateContiguousMemory.
NT_EXPORT(MmAllocateContiguousMemory, nt::AtMost(DISPATCH_LEVEL), Full, "MmMapping.Contiguous*");
extern "C" PVOID NTAPI MmAllocateContiguousMemory(SIZE_T NumberOfBytes,
                                                  PHYSICAL_ADDRESS HighestAcceptableAddress) {
  return AllocateContiguous(NumberOfBytes, 0, static_cast<ULONG64>(HighestAcceptableAddress.QuadPart), 0,
                            mm::Cache::kCached);
}

/// Physically contiguous memory between two addresses that does not cross a multiple of a boundary.
/// Returns: the address, NULL when there is none.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/MmAllocateContiguousMemorySpecifyCache.
NT_EXPORT(MmAllocateContiguousMemorySpecifyCache, nt::AtMost(DISPATCH_LEVEL), Full, "MmMapping.Contiguous*");
extern "C" PVOID NTAPI MmAllocateContiguousMemorySpecifyCache(SIZE_T NumberOfBytes,
                                                              PHYSICAL_ADDRESS LowestAcceptableAddress,
                                                              PHYSICAL_ADDRESS HighestAcceptableAddress,
                                                              PHYSICAL_ADDRESS BoundaryAddressMultiple,
                                                              MEMORY_CACHING_TYPE CacheType) {
  return AllocateContiguous(NumberOfBytes, static_cast<ULONG64>(LowestAcceptableAddress.QuadPart),
                            static_cast<ULONG64>(HighestAcceptableAddress.QuadPart),
                            static_cast<ULONG64>(BoundaryAddressMultiple.QuadPart), CacheOf(CacheType));
}

/// MmAllocateContiguousMemorySpecifyCache on a NUMA node.
/// Returns: the address, NULL when there is none.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none, on a machine with one node: the preference has no effect.
/// Source: WDK wdm/MmAllocateContiguousMemorySpecifyCacheNode.
NT_EXPORT(MmAllocateContiguousMemorySpecifyCacheNode, nt::AtMost(DISPATCH_LEVEL), Full,
          "MmMapping.ContiguousNode*");
extern "C" PVOID NTAPI MmAllocateContiguousMemorySpecifyCacheNode(
    SIZE_T NumberOfBytes, PHYSICAL_ADDRESS LowestAcceptableAddress, PHYSICAL_ADDRESS HighestAcceptableAddress,
    PHYSICAL_ADDRESS BoundaryAddressMultiple, MEMORY_CACHING_TYPE CacheType, NODE_REQUIREMENT PreferredNode) {
  return MmAllocateContiguousMemorySpecifyCache(NumberOfBytes, LowestAcceptableAddress,
                                                HighestAcceptableAddress, BoundaryAddressMultiple, CacheType);
}

/// Physically contiguous memory with a PAGE_* protection: PAGE_READWRITE or PAGE_EXECUTE_READWRITE, with
/// PAGE_NOCACHE or PAGE_WRITECOMBINE.
/// Returns: the address, NULL when there is none or for another protection.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none, on a machine with one node: the preference has no effect.
/// Source: WDK wdm/MmAllocateContiguousNodeMemory.
NT_EXPORT(MmAllocateContiguousNodeMemory, nt::AtMost(DISPATCH_LEVEL), Full, "MmMapping.ContiguousNode*");
extern "C" PVOID NTAPI MmAllocateContiguousNodeMemory(SIZE_T NumberOfBytes,
                                                      PHYSICAL_ADDRESS LowestAcceptableAddress,
                                                      PHYSICAL_ADDRESS HighestAcceptableAddress,
                                                      PHYSICAL_ADDRESS BoundaryAddressMultiple, ULONG Protect,
                                                      NODE_REQUIREMENT PreferredNode) {
  const ULONG access = Protect & 0xFF;
  if (access != PAGE_READWRITE && access != PAGE_EXECUTE_READWRITE) return nullptr;
  return AllocateContiguous(NumberOfBytes, static_cast<ULONG64>(LowestAcceptableAddress.QuadPart),
                            static_cast<ULONG64>(HighestAcceptableAddress.QuadPart),
                            static_cast<ULONG64>(BoundaryAddressMultiple.QuadPart), CacheOfWin32(Protect),
                            ProtectionOfWin32(Protect));
}

/// Frees memory of MmAllocateContiguousMemory.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: the page for other allocators' memory differs; a wrong address is bug check 0xC2 (0x60).
/// Source: WDK wdm/MmFreeContiguousMemory.
NT_EXPORT(MmFreeContiguousMemory, nt::AtMost(DISPATCH_LEVEL), Full, "MmMapping.Contiguous*");
extern "C" VOID NTAPI MmFreeContiguousMemory(PVOID BaseAddress) {
  const ULONG64 va = mm::Va(BaseAddress);
  const mm::Walk walk = mm::WalkTables(va);
  const PMMPFN record = walk.valid ? mm::PfnRecordOrNull(walk.physical / kPageSize) : nullptr;
  const ULONG64 mark = record != nullptr ? record->u2.ShareCount : 0;
  if (!mm::g_system_pte_region.IsReserved(va) || (mark & 0xFFFFFFFF'00000000) != kRunMark) {
    KeBugCheckEx(BAD_POOL_CALLER, 0x60, va, 0, 0);
  }
  mm::RetireRange(mm::g_system_pte_region, va, mark & 0xFFFFFFFF, mm::FreePagesToo::kYes);
}

/// Frees memory of MmAllocateContiguousMemorySpecifyCache.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: size and caching type are not compared with those of the allocation.
/// Source: WDK wdm/MmFreeContiguousMemorySpecifyCache.
NT_EXPORT(MmFreeContiguousMemorySpecifyCache, nt::AtMost(DISPATCH_LEVEL), Partial, "MmMapping.Contiguous*");
extern "C" VOID NTAPI MmFreeContiguousMemorySpecifyCache(PVOID BaseAddress, SIZE_T NumberOfBytes,
                                                         MEMORY_CACHING_TYPE CacheType) {
  MmFreeContiguousMemory(BaseAddress);
}

/// Uncached memory for devices.
/// Returns: the address, NULL when there is none.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: the memory is physically contiguous.
/// Source: WDK ntddk/MmAllocateNonCachedMemory.
NT_EXPORT(MmAllocateNonCachedMemory, nt::AtMost(APC_LEVEL), Full, "MmMapping.NonCached*");
extern "C" PVOID NTAPI MmAllocateNonCachedMemory(SIZE_T NumberOfBytes) {
  return AllocateContiguous(NumberOfBytes, 0, ~0ull, 0, mm::Cache::kUncached);
}

/// Frees memory of MmAllocateNonCachedMemory.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/MmFreeNonCachedMemory.
NT_EXPORT(MmFreeNonCachedMemory, nt::AtMost(APC_LEVEL), Full, "MmMapping.NonCached*");
extern "C" VOID NTAPI MmFreeNonCachedMemory(PVOID BaseAddress, SIZE_T NumberOfBytes) {
  MmFreeContiguousMemory(BaseAddress);
}

/// How much memory the machine has, in three classes.
/// IRQL: any.
/// Differs from NT: the limits are 1 GiB and 4 GiB.
/// Source: WDK ntddk/MmQuerySystemSize.
NT_EXPORT(MmQuerySystemSize, nt::AnyIrql(), Full, "MmMapping.SystemSize*");
extern "C" MM_SYSTEMSIZE NTAPI MmQuerySystemSize() {
  constexpr ULONG64 kGigabyte = 1ull << 18;  // pages
  if (MmNumberOfPhysicalPages < kGigabyte) return MmSmallSystem;
  return MmNumberOfPhysicalPages < 4 * kGigabyte ? MmMediumSystem : MmLargeSystem;
}

/// TRUE on a server edition.
/// IRQL: any.
/// Differs from NT: always FALSE, we report a workstation.
/// Source: WDK ntddk/MmIsThisAnNtAsSystem.
NT_EXPORT(MmIsThisAnNtAsSystem, nt::AnyIrql(), Full, "MmMapping.SystemSize*");
extern "C" BOOLEAN NTAPI MmIsThisAnNtAsSystem() {
  return FALSE;
}
