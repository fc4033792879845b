// MDLs and mappings of verified drivers: IRQL, flags, and pages that nobody locked. Calls that can fail do so
// on purpose where that option is on.
#include "call_checks.h"
#include "ex/pool.h"
#include "mm/mm_internal.h"
#include "verifier.h"

extern "C" VOID NTAPI MmProbeAndLockSelectedPages(PMDL MemoryDescriptorList,
                                                  PFILE_SEGMENT_ELEMENT SegmentArray,
                                                  KPROCESSOR_MODE AccessMode, LOCK_OPERATION Operation);

namespace vf {
namespace {

#define CALLER __builtin_return_address(0)
constexpr ULONG kNoRam = 0x6F, kLock = 0x70, kLockProcess = 0x71, kLockSelected = 0x72, kMapIo = 0x73,
                kMapKernel = 0x74, kMapUser = 0x75, kMapCacheKernel = 0x76, kMapCacheUser = 0x77,
                kUnlock = 0x78, kUnmapKernel = 0x79, kUnmapUser = 0x7A, kUnmapIo = 0x7B, kNeverLocked = 0x7C,
                kUnlockNonPaged = 0x7D, kPageMdl = 0x7E, kBuildPaged = 0x7F, kObsoleteMap = 0x81,
                kMustSucceed = 0x82, kMapIoUnlocked = 0x83, kMapUnlocked = 0x85, kNotMemory = 0x89,
                kLockFlags = 0xB0, kLockProcessFlags = 0xB1, kMapFlags = 0xB2, kMapMissingFlags = 0xB3,
                kUnlockPartial = 0xB4, kUnmapPartial = 0xB5, kUnmapUnmapped = 0xB6, kFreeMapped = 0xB8,
                kUnmapBadUser = 0xB9, kPageableUnlocked = 0x140;

void Need(KIRQL highest, ULONG kind, ULONG_PTR p3, ULONG_PTR p4) {
  const KIRQL irql = KeGetCurrentIrql();
  if (irql > highest) VerifierBugCheckIfAppropriate(kViolation, kind, irql, p3, p4);
}

void NeedNone(PMDL mdl, CSHORT unwanted, ULONG kind) {
  const CSHORT found = static_cast<CSHORT>(mdl->MdlFlags & unwanted);
  if (found != 0)
    VerifierBugCheckIfAppropriate(kViolation, kind, Bits(mdl), static_cast<USHORT>(mdl->MdlFlags),
                                  static_cast<USHORT>(found));
}

void NeedOne(PMDL mdl, CSHORT wanted, ULONG kind) {
  if ((mdl->MdlFlags & wanted) == 0)
    VerifierBugCheckIfAppropriate(kViolation, kind, Bits(mdl), static_cast<USHORT>(mdl->MdlFlags),
                                  static_cast<USHORT>(wanted));
}

bool IsRam(PFN_NUMBER pfn) {
  return mm::PfnRecordOrNull(pfn) != nullptr;
}
// A page of RAM that is in nobody's use.
bool IsFree(PFN_NUMBER pfn) {
  return IsRam(pfn) && mm::FreePages().IsFree(pfn);
}

ULONG PagesOf(PMDL mdl) {
  return ADDRESS_AND_SIZE_TO_SPAN_PAGES(MmGetMdlVirtualAddress(mdl), MmGetMdlByteCount(mdl));
}

constexpr CSHORT kNotToLock =
    MDL_PAGES_LOCKED | MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL | MDL_PARTIAL | MDL_IO_SPACE;
constexpr CSHORT kMayMap = MDL_PAGES_LOCKED | MDL_SOURCE_IS_NONPAGED_POOL | MDL_PARTIAL | MDL_IO_SPACE;

// Memory of a device, which has no page to lock.
void CheckBufferIsRam(PMDL mdl) {
  const auto start = static_cast<PUCHAR>(mdl->StartVa);
  if (Bits(start) <= MmUserProbeAddress || KeGetCurrentIrql() > DISPATCH_LEVEL) return;
  for (ULONG i = 0; i < PagesOf(mdl); ++i) {
    PVOID page = start + i * PAGE_SIZE;
    if (!MmIsAddressValid(page)) continue;
    const auto pfn = static_cast<PFN_NUMBER>(MmGetPhysicalAddress(page).QuadPart) / PAGE_SIZE;
    if (!IsRam(pfn)) VerifierBugCheckIfAppropriate(kViolation, kNoRam, Bits(mdl), pfn, MmHighestPhysicalPage);
  }
}

void CheckMap(PMDL mdl) {
  NeedNone(mdl, MDL_MAPPED_TO_SYSTEM_VA, kMapFlags);
  NeedOne(mdl, kMayMap, kMapMissingFlags);
  const PPFN_NUMBER pages = MmGetMdlPfnArray(mdl);
  for (ULONG i = 0; i < PagesOf(mdl); ++i) {
    if (IsFree(pages[i]))
      VerifierBugCheckIfAppropriate(kViolation, kMapUnlocked, Bits(mdl), PagesOf(mdl), pages[i]);
    if (!IsRam(pages[i]) && (mdl->MdlFlags & MDL_IO_SPACE) == 0)
      VerifierBugCheckIfAppropriate(kViolation, kNotMemory, Bits(mdl), Bits(&pages[i]), pages[i]);
  }
}

}  // namespace

extern "C" {

PVOID NTAPI VerifierMmMapLockedPagesSpecifyCache(PMDL Mdl, KPROCESSOR_MODE AccessMode,
                                                 MEMORY_CACHING_TYPE CacheType, PVOID BaseAddress,
                                                 ULONG BugCheckOnFailure, ULONG Priority) {
  if (AccessMode == KernelMode)
    Need(DISPATCH_LEVEL, kMapCacheKernel, Bits(Mdl), AccessMode);
  else
    Need(APC_LEVEL, kMapCacheUser, Bits(Mdl), AccessMode);
  CheckMap(Mdl);
  if (BugCheckOnFailure && AccessMode == KernelMode && (Mdl->MdlFlags & MDL_MAPPING_CAN_FAIL) == 0)
    VerifierBugCheckIfAppropriate(kViolation, kMustSucceed, Bits(Mdl), static_cast<USHORT>(Mdl->MdlFlags), 0);
  CheckMappingProtection(Priority, AccessMode, CALLER);
  if (!BugCheckOnFailure && FailThisCall(CALLER)) {
    if (AccessMode != KernelMode) ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
    return nullptr;
  }
  return MmMapLockedPagesSpecifyCache(Mdl, AccessMode, CacheType, BaseAddress, BugCheckOnFailure,
                                      static_cast<MM_PAGE_PRIORITY>(Priority));
}

PVOID NTAPI VerifierMmMapLockedPages(PMDL Mdl, KPROCESSOR_MODE AccessMode) {
  if (AccessMode == KernelMode)
    Need(DISPATCH_LEVEL, kMapKernel, Bits(Mdl), AccessMode);
  else
    Need(APC_LEVEL, kMapUser, Bits(Mdl), AccessMode);
  CheckMap(Mdl);
  if (AccessMode == KernelMode && (Mdl->MdlFlags & MDL_MAPPING_CAN_FAIL) == 0)
    VerifierBugCheckIfAppropriate(kViolation, kObsoleteMap, Bits(Mdl), static_cast<USHORT>(Mdl->MdlFlags), 0);
  return MmMapLockedPages(Mdl, AccessMode);
}

VOID NTAPI VerifierMmUnmapLockedPages(PVOID BaseAddress, PMDL Mdl) {
  const bool user = Bits(BaseAddress) <= MmUserProbeAddress;
  Need(user ? APC_LEVEL : DISPATCH_LEVEL, user ? kUnmapUser : kUnmapKernel, Bits(BaseAddress), Bits(Mdl));
  if (user) {
    if (!MmIsAddressValid(BaseAddress))
      VerifierBugCheckIfAppropriate(kViolation, kUnmapBadUser, Bits(BaseAddress), Bits(Mdl), 0);
  } else {
    if ((Mdl->MdlFlags & MDL_PARTIAL_HAS_BEEN_MAPPED) == 0) NeedNone(Mdl, MDL_PARTIAL, kUnmapPartial);
    NeedOne(Mdl, MDL_MAPPED_TO_SYSTEM_VA, kUnmapUnmapped);
  }
  MmUnmapLockedPages(BaseAddress, Mdl);
}

VOID NTAPI VerifierMmProbeAndLockPages(PMDL Mdl, KPROCESSOR_MODE AccessMode, LOCK_OPERATION Operation) {
  Need(DISPATCH_LEVEL, kLock, Bits(Mdl), AccessMode);
  NeedNone(Mdl, kNotToLock, kLockFlags);
  CheckBufferIsRam(Mdl);
  if (FailThisCall(CALLER)) ExRaiseStatus(STATUS_WORKING_SET_QUOTA);
  MmProbeAndLockPages(Mdl, AccessMode, Operation);
}

VOID NTAPI VerifierMmProbeAndLockProcessPages(PMDL Mdl, PEPROCESS Process, KPROCESSOR_MODE AccessMode,
                                              LOCK_OPERATION Operation) {
  Need(DISPATCH_LEVEL, kLockProcess, Bits(Mdl), Bits(Process));
  NeedNone(Mdl, kNotToLock, kLockProcessFlags);
  MmProbeAndLockProcessPages(Mdl, Process, AccessMode, Operation);
}

VOID NTAPI VerifierMmProbeAndLockSelectedPages(PMDL Mdl, PFILE_SEGMENT_ELEMENT SegmentArray,
                                               KPROCESSOR_MODE AccessMode, LOCK_OPERATION Operation) {
  Need(DISPATCH_LEVEL, kLockSelected, Bits(Mdl), Bits(PsGetCurrentProcess()));
  MmProbeAndLockSelectedPages(Mdl, SegmentArray, AccessMode, Operation);
}

VOID NTAPI VerifierMmUnlockPages(PMDL Mdl) {
  Need(DISPATCH_LEVEL, kUnlock, Bits(Mdl), 0);
  const auto flags = static_cast<USHORT>(Mdl->MdlFlags);
  if (flags & MDL_SOURCE_IS_NONPAGED_POOL)
    VerifierBugCheckIfAppropriate(kViolation, kUnlockNonPaged, Bits(Mdl), flags, 0);
  NeedNone(Mdl, MDL_PARTIAL, kUnlockPartial);
  if ((flags & MDL_PAGES_LOCKED) == 0)
    VerifierBugCheckIfAppropriate(kViolation, kNeverLocked, Bits(Mdl), flags, 0);
  MmUnlockPages(Mdl);
}

VOID NTAPI VerifierMmBuildMdlForNonPagedPool(PMDL Mdl) {
  const KIRQL irql = KeGetCurrentIrql();
  PVOID address = MmGetMdlVirtualAddress(Mdl);
  if (ex::ClassifyPoolAddress(address) == ex::PoolAddress::kPaged)
    VerifierBugCheckIfAppropriate(kViolation, kBuildPaged, irql, Bits(Mdl),
                                  static_cast<USHORT>(Mdl->MdlFlags));
  if (IsPageable(address))
    VerifierBugCheckIfAppropriate(kViolation, kPageableUnlocked, irql, Bits(Mdl), Bits(address));
  MmBuildMdlForNonPagedPool(Mdl);
}

PVOID NTAPI VerifierMmMapIoSpace(PHYSICAL_ADDRESS Address, SIZE_T Bytes, MEMORY_CACHING_TYPE CacheType) {
  const auto start = static_cast<ULONG_PTR>(Address.QuadPart);
  Need(DISPATCH_LEVEL, kMapIo, start, Bytes);
  for (ULONG_PTR at = start / PAGE_SIZE; Bytes != 0 && at <= (start + Bytes - 1) / PAGE_SIZE; ++at) {
    if (IsFree(at)) VerifierBugCheckIfAppropriate(kViolation, kMapIoUnlocked, start, Bytes, at);
  }
  return FailThisCall(CALLER) ? nullptr : MmMapIoSpace(Address, Bytes, CacheType);
}

VOID NTAPI VerifierMmUnmapIoSpace(PVOID BaseAddress, SIZE_T Bytes) {
  Need(APC_LEVEL, kUnmapIo, Bits(BaseAddress), Bytes);
  MmUnmapIoSpace(BaseAddress, Bytes);
}

PMDL NTAPI VerifierMmAllocatePagesForMdl(PHYSICAL_ADDRESS Lowest, PHYSICAL_ADDRESS Highest,
                                         PHYSICAL_ADDRESS Skip, SIZE_T Bytes) {
  Need(DISPATCH_LEVEL, kPageMdl, DISPATCH_LEVEL, 0);
  return FailThisCall(CALLER) ? nullptr : MmAllocatePagesForMdl(Lowest, Highest, Skip, Bytes);
}

PMDL NTAPI VerifierMmAllocatePagesForMdlEx(PHYSICAL_ADDRESS Lowest, PHYSICAL_ADDRESS Highest,
                                           PHYSICAL_ADDRESS Skip, SIZE_T Bytes, MEMORY_CACHING_TYPE CacheType,
                                           ULONG Flags) {
  Need(DISPATCH_LEVEL, kPageMdl, DISPATCH_LEVEL, 0);
  if (FailThisCall(CALLER)) return nullptr;
  return MmAllocatePagesForMdlEx(Lowest, Highest, Skip, Bytes, CacheType, Flags);
}

VOID NTAPI VerifierMmFreePagesFromMdl(PMDL Mdl) {
  Need(DISPATCH_LEVEL, kPageMdl, DISPATCH_LEVEL, 0);
  MmFreePagesFromMdl(Mdl);
}

// Its own mapping goes with a partial MDL, that of locked pages with their unlocking.
VOID NTAPI VerifierIoFreeMdl(PMDL Mdl) {
  constexpr CSHORT kGoes = MDL_PARTIAL | MDL_SOURCE_IS_NONPAGED_POOL;
  if ((Mdl->MdlFlags & kGoes) == 0 && (Mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA) != 0)
    VerifierBugCheckIfAppropriate(kViolation, kFreeMapped, Bits(Mdl), static_cast<USHORT>(Mdl->MdlFlags), 0);
  IoFreeMdl(Mdl);
}

}  // extern "C"

namespace {

#define VF_THUNK(Name) {#Name, reinterpret_cast<PVOID>(&Verifier##Name), 0}
const Thunk kThunks[] = {
    VF_THUNK(MmMapLockedPagesSpecifyCache),
    VF_THUNK(MmMapLockedPages),
    VF_THUNK(MmUnmapLockedPages),
    VF_THUNK(MmProbeAndLockPages),
    VF_THUNK(MmProbeAndLockProcessPages),
    VF_THUNK(MmProbeAndLockSelectedPages),
    VF_THUNK(MmUnlockPages),
    VF_THUNK(MmBuildMdlForNonPagedPool),
    VF_THUNK(MmMapIoSpace),
    VF_THUNK(MmUnmapIoSpace),
    VF_THUNK(MmAllocatePagesForMdl),
    VF_THUNK(MmAllocatePagesForMdlEx),
    VF_THUNK(MmFreePagesFromMdl),
    VF_THUNK(IoFreeMdl),
};

}  // namespace

const ThunkTable kMdlThunks = {kThunks, ARRAYSIZE(kThunks)};

}  // namespace vf
