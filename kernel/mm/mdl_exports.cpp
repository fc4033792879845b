// Memory descriptor lists: locking, mapping and allocating pages.
#include "nt/export.h"
#include "mm/mm_internal.h"

extern "C" VOID NTAPI MmUnmapLockedPages(PVOID BaseAddress, PMDL MemoryDescriptorList);

namespace {

using mm::kPageSize;

constexpr ULONG kMdlTag = 'ldmM';
constexpr PFN_NUMBER kEmptySlot = ~0ull;

ULONG64 StartOf(PMDL mdl) {
  return mm::Va(mdl->StartVa) + mdl->ByteOffset;
}
ULONG64 PageCountOf(PMDL mdl) {
  return mm::PagesFor(static_cast<ULONG64>(mdl->ByteOffset) + mdl->ByteCount);
}
PPFN_NUMBER PagesOf(PMDL mdl) {
  return reinterpret_cast<PPFN_NUMBER>(mdl + 1);
}

// Locks the page that is resident at `va`: it is not trimmed until unlocked. False if it is not resident (any
// more).
bool LockResidentPage(ULONG64 va, bool write, PPFN_NUMBER pfn) {
  mm::SpinGuard guard(&mm::g_pfn_lock);
  const mm::Walk walk = mm::WalkTables(va);
  if (!walk.valid || (write && walk.entry.u.Hard.Dirty1 == 0)) return false;
  *pfn = walk.physical / kPageSize;
  if (PMMPFN record = mm::PfnRecordOrNull(*pfn)) ++record->u3.ReferenceCount;
  return true;
}

void UnlockPage(PFN_NUMBER pfn) {
  mm::SpinGuard guard(&mm::g_pfn_lock);
  PMMPFN record = mm::PfnRecordOrNull(pfn);
  if (record == nullptr) return;
  if (record->u3.ReferenceCount <= 1) KeBugCheckEx(PFN_LIST_CORRUPT, 7, pfn, record->u3.ReferenceCount, 0);
  --record->u3.ReferenceCount;
}

bool LockPage(ULONG64 va, bool write, PPFN_NUMBER pfn) {
  while (!LockResidentPage(va, write, pfn)) {
    if (mm::WalkTables(va).valid) return false;  // read-only
    if (KeGetCurrentIrql() >= DISPATCH_LEVEL || !mm::MakeResident(va)) return false;
  }
  return true;
}

ULONG64 TakePages(PPFN_NUMBER pages, ULONG64 wanted, ULONG64 low, ULONG64 high, mm::Zero zero) {
  ULONG64 count = 0;
  while (count < wanted) {
    const bool anywhere = low == 0 && high > MmHighestPhysicalPage;
    const PFN_NUMBER pfn = anywhere ? mm::AllocatePage(mm::Zero::kNo) : mm::AllocatePageRun(1, low, high, 0);
    if (pfn == mm::kNoPage) break;
    if (zero == mm::Zero::kYes) mm::ZeroPage(pfn);
    pages[count++] = pfn;
  }
  return count;
}

}  // namespace

/// Fills in the page numbers of an MDL whose buffer lies in nonpaged memory; the buffer's own address serves
/// as mapping. IRQL: <= DISPATCH_LEVEL. Differs from NT: none. Source: WDK wdm/MmBuildMdlForNonPagedPool.
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

/// Makes the MDL's pages resident and keeps them so until MmUnlockPages.
/// Returns: nothing; raises STATUS_ACCESS_VIOLATION where a page cannot be had with the access asked for.
/// IRQL: <= DISPATCH_LEVEL; pageable buffers <= APC_LEVEL.
/// Differs from NT: only system addresses, there are no user address spaces yet.
/// Source: WDK wdm/MmProbeAndLockPages.
NT_EXPORT(MmProbeAndLockPages, nt::AtMost(DISPATCH_LEVEL), Partial, "MmMdl.Lock*");
extern "C" VOID NTAPI MmProbeAndLockPages(PMDL MemoryDescriptorList, KPROCESSOR_MODE AccessMode,
                                          LOCK_OPERATION Operation) {
  PMDL mdl = MemoryDescriptorList;
  const ULONG64 start = mm::Va(mdl->StartVa);
  const ULONG64 count = PageCountOf(mdl);
  const bool write = Operation != IoReadAccess;
  for (ULONG64 i = 0; i < count; ++i) {
    if (AccessMode == KernelMode && mm::IsSystemAddress(start) &&
        LockPage(start + i * kPageSize, write, &PagesOf(mdl)[i])) {
      continue;
    }
    while (i-- > 0) UnlockPage(PagesOf(mdl)[i]);
    ExRaiseStatus(STATUS_ACCESS_VIOLATION);
  }
  mdl->Process = nullptr;
  mdl->MdlFlags |= MDL_PAGES_LOCKED | (write ? MDL_WRITE_OPERATION : 0);
}

/// Undoes MmProbeAndLockPages, and the MDL's system mapping if it has one.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: an MDL that is not locked is bug check 0x1A.
/// Source: WDK wdm/MmUnlockPages.
NT_EXPORT(MmUnlockPages, nt::AtMost(DISPATCH_LEVEL), Full, "MmMdl.Lock*");
extern "C" VOID NTAPI MmUnlockPages(PMDL MemoryDescriptorList) {
  PMDL mdl = MemoryDescriptorList;
  if ((mdl->MdlFlags & MDL_PAGES_LOCKED) == 0) KeBugCheckEx(MEMORY_MANAGEMENT, 0x1233, mm::Va(mdl), 0, 0);
  if ((mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) != 0) MmUnmapLockedPages(mdl->MappedSystemVa, mdl);
  for (ULONG64 i = 0; i < PageCountOf(mdl); ++i) UnlockPage(PagesOf(mdl)[i]);
  mdl->MdlFlags &= static_cast<CSHORT>(~(MDL_PAGES_LOCKED | MDL_WRITE_OPERATION));
}

/// Maps an MDL's locked pages into system space.
/// Returns: the address of the buffer's first byte; NULL when there is no room, or a bug check with
/// BugCheckOnFailure. IRQL: <= DISPATCH_LEVEL. Differs from NT: AccessMode UserMode is refused (NULL), there
/// are no user address spaces yet; write-combined is uncached. Source: WDK wdm/MmMapLockedPagesSpecifyCache.
NT_EXPORT(MmMapLockedPagesSpecifyCache, nt::AtMost(DISPATCH_LEVEL), Partial, "MmMdl.Map*");
extern "C" PVOID NTAPI MmMapLockedPagesSpecifyCache(PMDL MemoryDescriptorList, KPROCESSOR_MODE AccessMode,
                                                    MEMORY_CACHING_TYPE CacheType, PVOID BaseAddress,
                                                    ULONG BugCheckOnFailure, MM_PAGE_PRIORITY Priority) {
  PMDL mdl = MemoryDescriptorList;
  const ULONG64 count = PageCountOf(mdl);
  if (AccessMode != KernelMode || count == 0) return nullptr;
  const bool no_write = (Priority & 0x80000000) != 0;              // MdlMappingNoWrite
  const bool execute = (Priority & 0x40000000) == 0 && !no_write;  // MdlMappingNoExecute
  const auto protection = no_write  ? mm::Protection::kReadOnly
                          : execute ? mm::Protection::kExecuteReadWrite
                                    : mm::Protection::kReadWrite;
  const auto cache = CacheType == MmCached ? mm::Cache::kCached : mm::Cache::kUncached;
  const ULONG64 va = mm::MapPageList(PagesOf(mdl), count, protection, cache);
  if (va == 0) {
    if (BugCheckOnFailure != 0) KeBugCheckEx(NO_MORE_SYSTEM_PTES, 0, count, 0, 0);
    return nullptr;
  }
  mdl->MappedSystemVa = reinterpret_cast<PVOID>(va + mdl->ByteOffset);
  mdl->MdlFlags |= MDL_MAPPED_TO_SYSTEM_VA;
  if ((mdl->MdlFlags & MDL_PARTIAL) != 0) mdl->MdlFlags |= MDL_PARTIAL_HAS_BEEN_MAPPED;
  return mdl->MappedSystemVa;
}

/// MmMapLockedPagesSpecifyCache with cached memory and a bug check on failure.
/// Returns: the address of the buffer's first byte.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: as MmMapLockedPagesSpecifyCache.
/// Source: WDK wdm/MmMapLockedPages.
NT_EXPORT(MmMapLockedPages, nt::AtMost(DISPATCH_LEVEL), Partial, "MmMdl.Map*");
extern "C" PVOID NTAPI MmMapLockedPages(PMDL MemoryDescriptorList, KPROCESSOR_MODE AccessMode) {
  return MmMapLockedPagesSpecifyCache(MemoryDescriptorList, AccessMode, MmCached, nullptr, TRUE,
                                      HighPagePriority);
}

/// Undoes MmMapLockedPagesSpecifyCache.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: an address that was not mapped is bug check 0x1A.
/// Source: WDK wdm/MmUnmapLockedPages.
NT_EXPORT(MmUnmapLockedPages, nt::AtMost(DISPATCH_LEVEL), Full, "MmMdl.Map*");
extern "C" VOID NTAPI MmUnmapLockedPages(PVOID BaseAddress, PMDL MemoryDescriptorList) {
  PMDL mdl = MemoryDescriptorList;
  const ULONG64 va = mm::Va(BaseAddress) & ~(kPageSize - 1);
  if (!mm::g_system_pte_region.IsReserved(va)) KeBugCheckEx(MEMORY_MANAGEMENT, 0x1235, va, mm::Va(mdl), 0);
  mm::RetireRange(mm::g_system_pte_region, va, PageCountOf(mdl), mm::FreePagesToo::kNo);
  mdl->MdlFlags &= static_cast<CSHORT>(~(MDL_MAPPED_TO_SYSTEM_VA | MDL_PARTIAL_HAS_BEEN_MAPPED));
  mdl->MappedSystemVa = nullptr;
}

/// Allocates pages (not mapped, not contiguous) between two physical addresses and describes them by an MDL.
/// Returns: the MDL, possibly for fewer bytes than asked for (not with MM_ALLOCATE_FULLY_REQUIRED); NULL when
/// there is none. IRQL: <= DISPATCH_LEVEL. Differs from NT: SkipBytes is not used; the pages' caching type is
/// that of their mapping. Source: WDK wdm/MmAllocatePagesForMdlEx.
NT_EXPORT(MmAllocatePagesForMdlEx, nt::AtMost(DISPATCH_LEVEL), Partial, "MmMdl.AllocatePages*");
extern "C" PMDL NTAPI MmAllocatePagesForMdlEx(PHYSICAL_ADDRESS LowAddress, PHYSICAL_ADDRESS HighAddress,
                                              PHYSICAL_ADDRESS SkipBytes, SIZE_T TotalBytes,
                                              MEMORY_CACHING_TYPE CacheType, ULONG Flags) {
  constexpr ULONG kDontZero = 1;
  constexpr ULONG kFullyRequired = 4;
  const ULONG64 wanted = mm::PagesFor(TotalBytes);
  if (wanted == 0 || wanted >= 0x100000) return nullptr;
  auto* mdl = static_cast<PMDL>(
      ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(MDL) + wanted * sizeof(PFN_NUMBER), kMdlTag));
  if (mdl == nullptr) return nullptr;
  const ULONG64 count = TakePages(PagesOf(mdl), wanted, static_cast<ULONG64>(LowAddress.QuadPart) / kPageSize,
                                  static_cast<ULONG64>(HighAddress.QuadPart) / kPageSize + 1,
                                  (Flags & kDontZero) != 0 ? mm::Zero::kNo : mm::Zero::kYes);
  if (count == 0 || (count < wanted && (Flags & kFullyRequired) != 0)) {
    for (ULONG64 i = 0; i < count; ++i) mm::FreePage(PagesOf(mdl)[i]);
    ExFreePoolWithTag(mdl, kMdlTag);
    return nullptr;
  }
  *mdl = {};
  mdl->Size = static_cast<CSHORT>(sizeof(MDL) + sizeof(PFN_NUMBER) * (count < 4000 ? count : 0));
  mdl->ByteCount = static_cast<ULONG>(count < wanted ? count * kPageSize : TotalBytes);
  mdl->MdlFlags = MDL_PAGES_LOCKED;
  for (ULONG64 i = 0; i < count; ++i) ++MmPfnDatabase[PagesOf(mdl)[i]].u3.ReferenceCount;
  return mdl;
}

/// MmAllocatePagesForMdlEx with zeroed, cached pages.
/// Returns: the MDL, NULL when there is no memory.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: as MmAllocatePagesForMdlEx.
/// Source: WDK wdm/MmAllocatePagesForMdl.
NT_EXPORT(MmAllocatePagesForMdl, nt::AtMost(DISPATCH_LEVEL), Partial, "MmMdl.AllocatePages*");
extern "C" PMDL NTAPI MmAllocatePagesForMdl(PHYSICAL_ADDRESS LowAddress, PHYSICAL_ADDRESS HighAddress,
                                            PHYSICAL_ADDRESS SkipBytes, SIZE_T TotalBytes) {
  return MmAllocatePagesForMdlEx(LowAddress, HighAddress, SkipBytes, TotalBytes, MmCached, 0);
}

/// Frees the pages of an MDL of MmAllocatePagesForMdl(Ex); the MDL itself is freed by ExFreePool afterwards.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/MmFreePagesFromMdl.
NT_EXPORT(MmFreePagesFromMdl, nt::AtMost(DISPATCH_LEVEL), Full, "MmMdl.AllocatePages*");
extern "C" VOID NTAPI MmFreePagesFromMdl(PMDL MemoryDescriptorList) {
  PMDL mdl = MemoryDescriptorList;
  for (ULONG64 i = 0; i < PageCountOf(mdl); ++i) {
    if (PagesOf(mdl)[i] == kEmptySlot) continue;
    mm::FreePage(PagesOf(mdl)[i]);
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
/// are unlocked now. Source: WDK wdm/MmAdvanceMdl.
NT_EXPORT(MmAdvanceMdl, nt::AtMost(DISPATCH_LEVEL), Partial, "MmMdl.Advance*");
extern "C" NTSTATUS NTAPI MmAdvanceMdl(PMDL Mdl, ULONG NumberOfBytes) {
  if (NumberOfBytes >= Mdl->ByteCount) return STATUS_INVALID_PARAMETER_2;
  const ULONG64 old_count = PageCountOf(Mdl);
  const ULONG64 start = StartOf(Mdl) + NumberOfBytes;
  const ULONG64 dropped = (Mdl->ByteOffset + static_cast<ULONG64>(NumberOfBytes)) / kPageSize;
  for (ULONG64 i = 0; i < dropped && (Mdl->MdlFlags & MDL_PAGES_LOCKED) != 0; ++i)
    UnlockPage(PagesOf(Mdl)[i]);
  for (ULONG64 i = dropped; i < old_count; ++i) PagesOf(Mdl)[i - dropped] = PagesOf(Mdl)[i];
  Mdl->StartVa = reinterpret_cast<PVOID>(start & ~(kPageSize - 1));
  Mdl->ByteOffset = static_cast<ULONG>(start % kPageSize);
  Mdl->ByteCount -= NumberOfBytes;
  if ((Mdl->MdlFlags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL)) != 0) {
    Mdl->MappedSystemVa = static_cast<PUCHAR>(Mdl->MappedSystemVa) + NumberOfBytes;
  }
  return STATUS_SUCCESS;
}
