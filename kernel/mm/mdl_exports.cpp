// Memory descriptor lists: locking, mapping and allocating pages.
#include "mm/mdl_internal.h"
#include "nt/export.h"

extern "C" VOID NTAPI MmUnmapLockedPages(PVOID BaseAddress, PMDL MemoryDescriptorList);

namespace {

using mm::kPageSize;
using mm::PageCountOf;
using mm::PagesOf;
using mm::StartOf;

constexpr ULONG kMdlTag = 'ldmM';
constexpr PFN_NUMBER kEmptySlot = ~0ull;

// Locks the pages from `start` on; on failure none stays locked.
NTSTATUS LockPages(PMDL mdl, ULONG64 start, ULONG64 count, bool write) {
  for (ULONG64 i = 0; i < count; ++i) {
    const NTSTATUS status = mm::LockPage(start + i * kPageSize, write, &PagesOf(mdl)[i]);
    if (NT_SUCCESS(status)) continue;
    while (i-- > 0) mm::UnlockPage(PagesOf(mdl)[i]);
    return status;
  }
  return STATUS_SUCCESS;
}

// The whole of MmProbeAndLockPages but the exception.
NTSTATUS ProbeAndLock(PMDL mdl, KPROCESSOR_MODE mode, LOCK_OPERATION operation, PVOID caller) {
  const ULONG64 start = mm::Va(mdl->StartVa);
  const ULONG64 count = PageCountOf(mdl);
  const ULONG64 end = StartOf(mdl) + mdl->ByteCount;
  const bool user = !mm::IsSystemAddress(start);
  if (end < start || (user || mode == UserMode ? end > MmUserProbeAddress : false))
    return STATUS_ACCESS_VIOLATION;
  mm::AddressSpace* space = user && KeGetCurrentIrql() < DISPATCH_LEVEL ? mm::EnsureCurrentSpace() : nullptr;
  if (user && space == nullptr) return STATUS_ACCESS_VIOLATION;
  const bool write = operation != IoReadAccess;
  const NTSTATUS status = LockPages(mdl, start, count, write);
  if (!NT_SUCCESS(status)) return status;
  mdl->Process = user ? space->process : nullptr;
  if (user) mm::ChargeLocks(*space, mdl, count, caller);
  mdl->MdlFlags |= MDL_PAGES_LOCKED | (write ? MDL_WRITE_OPERATION : 0);
  if (!write) mdl->MdlFlags &= static_cast<CSHORT>(~MDL_WRITE_OPERATION);
  return STATUS_SUCCESS;
}

// Windows leaves the pages of device memory and of an MDL that was never locked to its callers' care; a page
// that belongs to nobody must not be mapped.
void CheckMappable(PMDL mdl) {
  constexpr CSHORT kMayMap = MDL_PAGES_LOCKED | MDL_SOURCE_IS_NONPAGED_POOL | MDL_PARTIAL | MDL_IO_SPACE;
  const ULONG64 count = PageCountOf(mdl);
  if ((mdl->MdlFlags & kMayMap) == 0) KeBugCheckEx(MEMORY_MANAGEMENT, 0x1233, PagesOf(mdl)[0], 0, 0);
  for (ULONG64 i = 0; i < count; ++i) {
    const PMMPFN record = mm::PfnRecordOrNull(PagesOf(mdl)[i]);
    if (record != nullptr && mm::FreePages().IsFree(PagesOf(mdl)[i])) {
      KeBugCheckEx(MEMORY_MANAGEMENT, 0x1233, PagesOf(mdl)[i], 0, 0);
    }
  }
}

PVOID MapForUser(PMDL mdl, mm::Protection protection, mm::Cache cache, PVOID base) {
  mm::AddressSpace* space = KeGetCurrentIrql() < DISPATCH_LEVEL ? mm::EnsureCurrentSpace() : nullptr;
  ULONG64 va = 0;
  const NTSTATUS status = space != nullptr
                              ? mm::MapMdlInSpace(*space, mdl, protection, cache, mm::Va(base), &va)
                              : STATUS_ACCESS_VIOLATION;
  if (!NT_SUCCESS(status)) ExRaiseStatus(status);
  return reinterpret_cast<PVOID>(va + mdl->ByteOffset);
}

PVOID MapLockedPages(PMDL mdl, KPROCESSOR_MODE mode, MEMORY_CACHING_TYPE type, PVOID base, bool must_succeed,
                     ULONG priority, PVOID caller) {
  const ULONG64 count = PageCountOf(mdl);
  const auto protection = mm::MappingProtection(priority);
  const auto cache = mm::CacheOf(type);
  CheckMappable(mdl);
  if (mode != KernelMode) return MapForUser(mdl, protection, cache, base);
  const ULONG64 va = mm::MapPageList(PagesOf(mdl), count, protection, cache);
  if (va == 0) {
    if (must_succeed) mm::StopWithoutPtes(count);
    return nullptr;
  }
  mm::NotePtes(va, count, caller);
  mdl->MappedSystemVa = reinterpret_cast<PVOID>(va + mdl->ByteOffset);
  mdl->MdlFlags |= MDL_MAPPED_TO_SYSTEM_VA;
  if ((mdl->MdlFlags & MDL_PARTIAL) != 0) mdl->MdlFlags |= MDL_PARTIAL_HAS_BEEN_MAPPED;
  return mdl->MappedSystemVa;
}

void ReleaseMdlPage(PFN_NUMBER pfn) {
  const PMMPFN record = mm::PfnRecordOrNull(pfn);
  if (record == nullptr || mm::FreePages().IsFree(pfn)) {
    KeBugCheckEx(PFN_LIST_CORRUPT, 0x99, pfn, static_cast<ULONG_PTR>(mm::PageLocation::kFree), 0);
  }
  // One reference is the page's own, one the lock that MmAllocatePagesForMdlEx took for the caller.
  if (record->u3.ReferenceCount > 2) {
    KeBugCheckEx(PFN_LIST_CORRUPT, 0x9A, pfn, record->u3.e1.PageLocation, record->u3.ReferenceCount);
  }
  mm::FreePage(pfn);
}

struct PageOrder {
  ULONG64 low, high;  // PFNs
  ULONG64 skip;       // pages from one range to the next, 0: one range
  ULONG64 chunk;      // pages that must be contiguous and aligned to their number
};

// Pages of one range, behind the `count` that are there.
ULONG64 TakePages(PPFN_NUMBER pages, ULONG64 count, ULONG64 wanted, const PageOrder& order) {
  while (count < wanted) {
    const bool anywhere = order.low == 0 && order.high > MmHighestPhysicalPage && order.chunk == 1;
    const PFN_NUMBER first = anywhere ? mm::AllocatePage(mm::Zero::kNo)
                                      : mm::AllocatePageRun(order.chunk, order.low, order.high,
                                                            order.chunk == 1 ? 0 : order.chunk);
    if (first == mm::kNoPage) break;
    for (ULONG64 i = 0; i < order.chunk; ++i) pages[count++] = first + i;
  }
  return count;
}

ULONG64 TakeAllPages(PPFN_NUMBER pages, ULONG64 wanted, PageOrder order) {
  ULONG64 count = TakePages(pages, 0, wanted, order);
  while (count < wanted && order.skip != 0) {
    order.low += order.skip;
    order.high += order.skip;
    if (order.low > MmHighestPhysicalPage) break;
    count = TakePages(pages, count, wanted, order);
  }
  return count;
}

}  // namespace

/// Fills in the page numbers of an MDL whose buffer lies in nonpaged memory; the buffer's own address serves
/// as mapping.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/MmBuildMdlForNonPagedPool.
NT_EXPORT(MmBuildMdlForNonPagedPool, nt::AtMost(DISPATCH_LEVEL), Full, "MmMdl.NonPaged*");
extern "C" VOID NTAPI MmBuildMdlForNonPagedPool(PMDL MemoryDescriptorList) {
  PMDL mdl = MemoryDescriptorList;
  const ULONG64 start = mm::Va(mdl->StartVa);
  for (ULONG64 i = 0; i < PageCountOf(mdl); ++i) {
    PagesOf(mdl)[i] = mm::WalkTables(start + i * kPageSize).physical / kPageSize;
  }
  mdl->MappedSystemVa = reinterpret_cast<PVOID>(StartOf(mdl));
  mdl->Process = nullptr;
  mdl->MdlFlags |= MDL_SOURCE_IS_NONPAGED_POOL;
}

/// Makes the MDL's pages resident and keeps them so until MmUnlockPages. Pages of a program count for its
/// process (0x76, 0xCB when it ends).
/// Returns: nothing; raises STATUS_ACCESS_VIOLATION where a page cannot be had with the access asked for,
/// STATUS_GUARD_PAGE_VIOLATION, STATUS_IN_PAGE_ERROR, STATUS_NO_MEMORY.
/// IRQL: <= DISPATCH_LEVEL; pageable buffers and buffers of programs <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/MmProbeAndLockPages.
NT_EXPORT(MmProbeAndLockPages, nt::AtMost(DISPATCH_LEVEL), Full, "MmMdl.Lock*");
extern "C" VOID NTAPI MmProbeAndLockPages(PMDL MemoryDescriptorList, KPROCESSOR_MODE AccessMode,
                                          LOCK_OPERATION Operation) {
  const NTSTATUS status =
      ProbeAndLock(MemoryDescriptorList, AccessMode, Operation, __builtin_return_address(0));
  if (!NT_SUCCESS(status)) ExRaiseStatus(status);
}

/// MmProbeAndLockPages for memory of another process.
/// Returns: nothing; raises as MmProbeAndLockPages.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/MmProbeAndLockProcessPages.
NT_EXPORT(MmProbeAndLockProcessPages, nt::AtMost(APC_LEVEL), Full, "MmMdl.ProcessPages*");
extern "C" VOID NTAPI MmProbeAndLockProcessPages(PMDL MemoryDescriptorList, PEPROCESS Process,
                                                 KPROCESSOR_MODE AccessMode, LOCK_OPERATION Operation) {
  KAPC_STATE state;
  KeStackAttachProcess(reinterpret_cast<PKPROCESS>(Process), &state);
  const NTSTATUS status =
      ProbeAndLock(MemoryDescriptorList, AccessMode, Operation, __builtin_return_address(0));
  KeUnstackDetachProcess(&state);
  if (!NT_SUCCESS(status)) ExRaiseStatus(status);
}

/// Locks pages that need not be neighbours: one for each element of a segment array, as many as the MDL
/// describes. Returns: nothing; raises as MmProbeAndLockPages.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/MmProbeAndLockSelectedPages.
NT_EXPORT(MmProbeAndLockSelectedPages, nt::AtMost(APC_LEVEL), Full, "MmMdl.SelectedPages*");
extern "C" VOID NTAPI MmProbeAndLockSelectedPages(PMDL MemoryDescriptorList,
                                                  PFILE_SEGMENT_ELEMENT SegmentArray,
                                                  KPROCESSOR_MODE AccessMode, LOCK_OPERATION Operation) {
  PMDL mdl = MemoryDescriptorList;
  const bool write = Operation != IoReadAccess;
  const ULONG64 count = PageCountOf(mdl);
  NTSTATUS status = STATUS_SUCCESS;
  ULONG64 done = 0;
  bool user = false;
  for (; done < count && NT_SUCCESS(status); ++done) {
    const auto va = static_cast<ULONG64>(SegmentArray[done].Alignment);
    if (!mm::IsSystemAddress(va)) user = true;
    const bool outside = mm::IsSystemAddress(va) ? AccessMode == UserMode : va >= MmUserProbeAddress;
    status = outside ? STATUS_ACCESS_VIOLATION : mm::LockPage(va, write, &PagesOf(mdl)[done]);
  }
  if (!NT_SUCCESS(status)) {
    for (--done; done-- > 0;) mm::UnlockPage(PagesOf(mdl)[done]);
    ExRaiseStatus(status);
  }
  mm::AddressSpace* space = user ? mm::EnsureCurrentSpace() : nullptr;
  mdl->Process = space != nullptr ? space->process : nullptr;
  if (space != nullptr) mm::ChargeLocks(*space, mdl, count, __builtin_return_address(0));
  mdl->MdlFlags |= MDL_PAGES_LOCKED | (write ? MDL_WRITE_OPERATION : 0);
}

/// Undoes MmProbeAndLockPages, and the MDL's system mapping if it has one. A page that is unlocked more often
/// than it was locked is bug check 0x4E (7), a program's 0x76 (1).
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/MmUnlockPages.
NT_EXPORT(MmUnlockPages, nt::AtMost(DISPATCH_LEVEL), Full, "MmMdl.Lock*");
extern "C" VOID NTAPI MmUnlockPages(PMDL MemoryDescriptorList) {
  PMDL mdl = MemoryDescriptorList;
  const ULONG64 count = PageCountOf(mdl);
  const bool written = (mdl->MdlFlags & MDL_WRITE_OPERATION) != 0;
  if ((mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) != 0) MmUnmapLockedPages(mdl->MappedSystemVa, mdl);
  if (mdl->Process != nullptr) {
    auto* space = static_cast<mm::AddressSpace*>(reinterpret_cast<EPROCESS*>(mdl->Process)->VadRoot);
    mm::ReturnLocks(*space, mdl, count);
  }
  for (ULONG64 i = 0; i < count; ++i) mm::UnlockPage(PagesOf(mdl)[i], written);
  mdl->MdlFlags &= static_cast<CSHORT>(~(MDL_PAGES_LOCKED | MDL_WRITE_OPERATION));
}

/// Maps an MDL's locked pages into system space, or (UserMode) into the current process: at RequestedAddress
/// or where there is room. Returns: the address of the buffer's first byte; NULL when there is no room in
/// system space, or bug check 0x3F (0xD8 with TrackPtes) with BugCheckOnFailure. UserMode raises instead.
/// Pages that are not locked are bug check 0x1A (0x1233).
/// IRQL: <= DISPATCH_LEVEL; UserMode <= APC_LEVEL. A page that is cached in some way already is mapped in
/// that way.
/// Differs from NT: none.
/// Source: WDK wdm/MmMapLockedPagesSpecifyCache.
NT_EXPORT(MmMapLockedPagesSpecifyCache, nt::AtMost(DISPATCH_LEVEL), Full, "MmMdl.Map*");
extern "C" PVOID NTAPI MmMapLockedPagesSpecifyCache(PMDL MemoryDescriptorList, KPROCESSOR_MODE AccessMode,
                                                    MEMORY_CACHING_TYPE CacheType, PVOID BaseAddress,
                                                    ULONG BugCheckOnFailure, MM_PAGE_PRIORITY Priority) {
  return MapLockedPages(MemoryDescriptorList, AccessMode, CacheType, BaseAddress, BugCheckOnFailure != 0,
                        static_cast<ULONG>(Priority), __builtin_return_address(0));
}

/// MmMapLockedPagesSpecifyCache with cached memory and a bug check on failure.
/// Returns: the address of the buffer's first byte.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/MmMapLockedPages.
NT_EXPORT(MmMapLockedPages, nt::AtMost(DISPATCH_LEVEL), Full, "MmMdl.Map*");
extern "C" PVOID NTAPI MmMapLockedPages(PMDL MemoryDescriptorList, KPROCESSOR_MODE AccessMode) {
  return MapLockedPages(MemoryDescriptorList, AccessMode, MmCached, nullptr, true, HighPagePriority,
                        __builtin_return_address(0));
}

/// Undoes MmMapLockedPagesSpecifyCache. An MDL that is not mapped is bug check 0xDA (6), an address that is
/// not its mapping 0xDA (0x302 to 0x305).
/// IRQL: <= DISPATCH_LEVEL; addresses of a program <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/MmUnmapLockedPages.
NT_EXPORT(MmUnmapLockedPages, nt::AtMost(DISPATCH_LEVEL), Full, "MmMdl.Map*");
extern "C" VOID NTAPI MmUnmapLockedPages(PVOID BaseAddress, PMDL MemoryDescriptorList) {
  PMDL mdl = MemoryDescriptorList;
  const ULONG64 va = mm::Va(BaseAddress) & ~(kPageSize - 1);
  const ULONG64 count = PageCountOf(mdl);
  if (!mm::IsSystemAddress(va)) {
    mm::AddressSpace* space = KeGetCurrentIrql() < DISPATCH_LEVEL ? mm::EnsureCurrentSpace() : nullptr;
    if (space == nullptr || !mm::UnmapMdlInSpace(*space, va)) {
      KeBugCheckEx(SYSTEM_PTE_MISUSE, 6, mm::Va(mdl), mm::Va(BaseAddress), count);
    }
    return;
  }
  if ((mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) == 0) {
    KeBugCheckEx(SYSTEM_PTE_MISUSE, 6, mm::Va(mdl), mm::Va(BaseAddress), count);
  }
  mm::CheckSystemPtes(va, count);
  mm::ForgetPtes(va);
  mm::RetireRange(mm::g_system_pte_region, va, count, mm::FreePagesToo::kNo);
  mdl->MdlFlags &= static_cast<CSHORT>(~(MDL_MAPPED_TO_SYSTEM_VA | MDL_PARTIAL_HAS_BEEN_MAPPED));
  mdl->MappedSystemVa = nullptr;
}

/// Allocates pages (not mapped, not contiguous) between two physical addresses, then between those SkipBytes
/// further on, and so on, and describes them by an MDL. With MM_ALLOCATE_REQUIRE_CONTIGUOUS_CHUNKS each
/// SkipBytes of them are contiguous. Returns: the MDL, possibly for fewer bytes than asked for (not with
/// MM_ALLOCATE_FULLY_REQUIRED); NULL when there is none.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none, on a machine with one node; nobody waits for pages (MM_ALLOCATE_NO_WAIT always).
/// Source: WDK wdm/MmAllocatePagesForMdlEx.
NT_EXPORT(MmAllocatePagesForMdlEx, nt::AtMost(DISPATCH_LEVEL), Full, "MmMdl.AllocatePages*");
extern "C" PMDL NTAPI MmAllocatePagesForMdlEx(PHYSICAL_ADDRESS LowAddress, PHYSICAL_ADDRESS HighAddress,
                                              PHYSICAL_ADDRESS SkipBytes, SIZE_T TotalBytes,
                                              MEMORY_CACHING_TYPE CacheType, ULONG Flags) {
  constexpr ULONG kDontZero = 1, kFullyRequired = 4, kContiguousChunks = 0x20;
  const ULONG64 wanted = mm::PagesFor(TotalBytes);
  const auto skip = static_cast<ULONG64>(SkipBytes.QuadPart);
  PageOrder order = {static_cast<ULONG64>(LowAddress.QuadPart) / kPageSize,
                     static_cast<ULONG64>(HighAddress.QuadPart) / kPageSize + 1, skip / kPageSize, 1};
  if (wanted == 0 || wanted >= 0x100000 || skip % kPageSize != 0) return nullptr;
  if ((Flags & kContiguousChunks) != 0) {
    if (skip == 0 || (skip & (skip - 1)) != 0 || TotalBytes % skip != 0) return nullptr;
    order.chunk = order.skip;
    order.skip = 0;
  }
  auto* mdl = static_cast<PMDL>(
      ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(MDL) + wanted * sizeof(PFN_NUMBER), kMdlTag));
  if (mdl == nullptr) return nullptr;
  const ULONG64 count = TakeAllPages(PagesOf(mdl), wanted, order);
  if (count == 0 || (count < wanted && (Flags & kFullyRequired) != 0)) {
    for (ULONG64 i = 0; i < count; ++i) mm::FreePage(PagesOf(mdl)[i]);
    ExFreePoolWithTag(mdl, kMdlTag);
    return nullptr;
  }
  *mdl = {};
  mdl->Size = static_cast<CSHORT>(sizeof(MDL) + sizeof(PFN_NUMBER) * (count < 4000 ? count : 0));
  mdl->ByteCount = static_cast<ULONG>(count < wanted ? count * kPageSize : TotalBytes);
  mdl->MdlFlags = MDL_PAGES_LOCKED;
  const auto cache =
      CacheType < MmMaximumCacheType ? mm::PageCacheOf(mm::CacheOf(CacheType)) : mm::PageCache::kNotMapped;
  for (ULONG64 i = 0; i < count; ++i) {
    const PFN_NUMBER page = PagesOf(mdl)[i];
    if ((Flags & kDontZero) == 0) mm::ZeroPage(page);
    mm::SetPageCache(page, 1, cache);
    ++MmPfnDatabase[page].u3.ReferenceCount;
  }
  return mdl;
}

/// MmAllocatePagesForMdlEx with zeroed pages that their first mapping decides the caching of.
/// Returns: the MDL, NULL when there is no memory.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: as MmAllocatePagesForMdlEx.
/// Source: WDK wdm/MmAllocatePagesForMdl.
NT_EXPORT(MmAllocatePagesForMdl, nt::AtMost(DISPATCH_LEVEL), Full, "MmMdl.AllocatePages*");
extern "C" PMDL NTAPI MmAllocatePagesForMdl(PHYSICAL_ADDRESS LowAddress, PHYSICAL_ADDRESS HighAddress,
                                            PHYSICAL_ADDRESS SkipBytes, SIZE_T TotalBytes) {
  return MmAllocatePagesForMdlEx(LowAddress, HighAddress, SkipBytes, TotalBytes, MmMaximumCacheType, 0);
}

/// MmAllocatePagesForMdlEx on a NUMA node.
/// Returns: the MDL, NULL when there is no memory.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: as MmAllocatePagesForMdlEx: the preference has no effect on a machine with one node.
/// Source: WDK wdm/MmAllocateNodePagesForMdlEx.
NT_EXPORT(MmAllocateNodePagesForMdlEx, nt::AtMost(DISPATCH_LEVEL), Full, "MmMdl.AllocateNodePages*");
extern "C" PMDL NTAPI MmAllocateNodePagesForMdlEx(PHYSICAL_ADDRESS LowAddress, PHYSICAL_ADDRESS HighAddress,
                                                  PHYSICAL_ADDRESS SkipBytes, SIZE_T TotalBytes,
                                                  MEMORY_CACHING_TYPE CacheType, ULONG IdealNode,
                                                  ULONG Flags) {
  return MmAllocatePagesForMdlEx(LowAddress, HighAddress, SkipBytes, TotalBytes, CacheType, Flags);
}

/// Frees the pages of an MDL of MmAllocatePagesForMdl(Ex); the MDL itself is freed by ExFreePool afterwards.
/// A page that another MDL still locks is bug check 0x4E (0x9A), one that is free already 0x4E (0x99).
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/MmFreePagesFromMdl.
NT_EXPORT(MmFreePagesFromMdl, nt::AtMost(DISPATCH_LEVEL), Full, "MmMdl.AllocatePages*");
extern "C" VOID NTAPI MmFreePagesFromMdl(PMDL MemoryDescriptorList) {
  PMDL mdl = MemoryDescriptorList;
  for (ULONG64 i = 0; i < PageCountOf(mdl); ++i) {
    if (PagesOf(mdl)[i] == kEmptySlot) continue;
    ReleaseMdlPage(PagesOf(mdl)[i]);
    PagesOf(mdl)[i] = kEmptySlot;
  }
  mdl->MdlFlags &= static_cast<CSHORT>(~MDL_PAGES_LOCKED);
}

/// Bytes that an MDL for a buffer needs.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/MmSizeOfMdl.
NT_EXPORT(MmSizeOfMdl, nt::AnyIrql(), Full, "MmMdl.Size*");
extern "C" SIZE_T NTAPI MmSizeOfMdl(PVOID Base, SIZE_T Length) {
  return sizeof(MDL) + mm::PagesFor(mm::Va(Base) % kPageSize + Length) * sizeof(PFN_NUMBER);
}

/// Moves an MDL's start forward, dropping pages that no longer belong to it.
/// Returns: STATUS_INVALID_PARAMETER_2 past the end.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: dropped pages stay locked until the MDL's remaining ones are unlocked is not done: they
/// are unlocked now.
/// Source: WDK wdm/MmAdvanceMdl.
NT_EXPORT(MmAdvanceMdl, nt::AtMost(DISPATCH_LEVEL), Partial, "MmMdl.Advance*");
extern "C" NTSTATUS NTAPI MmAdvanceMdl(PMDL Mdl, ULONG NumberOfBytes) {
  if (NumberOfBytes >= Mdl->ByteCount) return STATUS_INVALID_PARAMETER_2;
  const ULONG64 old_count = PageCountOf(Mdl);
  const ULONG64 start = StartOf(Mdl) + NumberOfBytes;
  const ULONG64 dropped = (Mdl->ByteOffset + static_cast<ULONG64>(NumberOfBytes)) / kPageSize;
  for (ULONG64 i = 0; i < dropped && (Mdl->MdlFlags & MDL_PAGES_LOCKED) != 0; ++i)
    mm::UnlockPage(PagesOf(Mdl)[i]);
  for (ULONG64 i = dropped; i < old_count; ++i) PagesOf(Mdl)[i - dropped] = PagesOf(Mdl)[i];
  Mdl->StartVa = reinterpret_cast<PVOID>(start & ~(kPageSize - 1));
  Mdl->ByteOffset = static_cast<ULONG>(start % kPageSize);
  Mdl->ByteCount -= NumberOfBytes;
  if ((Mdl->MdlFlags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL)) != 0) {
    Mdl->MappedSystemVa = static_cast<PUCHAR>(Mdl->MappedSystemVa) + NumberOfBytes;
  }
  return STATUS_SUCCESS;
}
