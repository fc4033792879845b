// Faults on private pages and views.
#include "mm/address_space.h"

#include "ke/ke.h"
#include "mm/section.h"

namespace mm {
namespace {

bool Allows(Protection protection, Access access) {
  if (IsNoAccess(protection) || AccessOf(protection) == Protection::kNone) return false;
  if (access == Access::kWrite) return IsWritable(protection) || IsCopyOnWrite(protection);
  return access != Access::kExecute || IsExecutable(protection);
}

Protection WithoutCopy(Protection protection) {
  return AccessOf(protection) == Protection::kExecuteWriteCopy ? Protection::kExecuteReadWrite
                                                               : Protection::kReadWrite;
}

// A private copy of a shared page in its place.
NTSTATUS CopyPage(PMMPTE pte, PFN_NUMBER from, Protection protection) {
  const PFN_NUMBER copy = AllocatePage(Zero::kNo);
  if (copy == kNoPage) return STATUS_NO_MEMORY;
  RtlCopyMemory(PageAddress(copy), PageAddress(from), kPageSize);
  SetPageOwner(copy, pte, PageLocation::kActive);
  Count(g_events.copies);
  Store(pte, ValidPteAt(pte, copy, WithoutCopy(protection)));
  return STATUS_SUCCESS;
}

NTSTATUS ViewFault(const MMVAD& vad, ULONG64 va, Protection protection, Access access) {
  PFN_NUMBER pfn = kNoPage;
  NTSTATUS status = SharePage(vad.Segment, vad.FirstPage + va / kPageSize - vad.StartingVpn, &pfn);
  if (!NT_SUCCESS(status)) return status;
  const PMMPTE pte = PteOf(va);
  if (access == Access::kWrite && IsCopyOnWrite(protection)) {
    status = CopyPage(pte, pfn, protection);
    ReleaseShare(pfn, false);
    return status;
  }
  MMPTE valid = ValidPteAt(pte, pfn, protection);
  // The processor sets it at the first write: what is not dirty is not written to the file.
  valid.u.Hard.Dirty = access == Access::kWrite ? 1 : 0;
  Store(pte, valid);
  return STATUS_SUCCESS;
}

NTSTATUS ValidFault(ULONG64 va, MMPTE valid, Access access) {
  if (access == Access::kExecute && valid.u.Hard.NoExecute != 0) return STATUS_ACCESS_VIOLATION;
  if (access != Access::kWrite || valid.u.Hard.Dirty1 != 0) {
    FlushPage(va);
    return STATUS_SUCCESS;
  }
  if (valid.u.Hard.CopyOnWrite == 0) return STATUS_ACCESS_VIOLATION;
  const PFN_NUMBER shared = valid.u.Hard.PageFrameNumber;
  const NTSTATUS status = CopyPage(PteOf(va), shared, ProtectionOf(valid));
  if (!NT_SUCCESS(status)) return status;
  // Other processors must not go on reading the shared page.
  KeFlushSingleTb(reinterpret_cast<PVOID>(va));
  ReleaseShare(shared, false);
  return STATUS_SUCCESS;
}

NTSTATUS LockedFault(AddressSpace& space, ULONG64 va, Access access) {
  const PMMVAD vad = FindVad(space, va);
  if (vad == nullptr) return STATUS_ACCESS_VIOLATION;
  if (!EnsurePageTables(va, 1)) return STATUS_NO_MEMORY;
  const PMMPTE pte = PteOf(va);
  const MMPTE now = Load(pte);
  if (now.u.Hard.Valid != 0) return ValidFault(va, now, access);
  const bool own = now.u.Long != 0;
  if (!own && vad->Kind != VadKind::kView) return STATUS_ACCESS_VIOLATION;  // reserved only
  auto protection = own ? static_cast<Protection>(now.u.Soft.Protection) : vad->Protection;
  if (IsGuard(protection)) {
    MMPTE without = own ? now : PrototypePte(protection);
    without.u.Soft.Protection = static_cast<ULONG64>(AccessOf(protection));
    CompareExchange(pte, now, without);
    return STATUS_GUARD_PAGE_VIOLATION;
  }
  if (!Allows(protection, access)) return STATUS_ACCESS_VIOLATION;
  if (!own || IsPrototype(now)) return ViewFault(*vad, va, protection, access);
  return BringIn(pte);
}

}  // namespace

NTSTATUS ResolveSpaceFault(AddressSpace& space, ULONG64 va, Access access) {
  SleepGuard guard(space.lock);
  ++space.counts.PageFaults;
  const bool was_valid = WalkTables(va).valid;
  const NTSTATUS status = LockedFault(space, va, access);
  if (!was_valid && WalkTables(va).valid) CountResident(space, 1);
  return status;
}

}  // namespace mm
