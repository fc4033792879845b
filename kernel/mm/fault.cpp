// Page faults, and the making of pages not resident.
#include "mm/mm_internal.h"

#include "ke/ke.h"

namespace mm {
namespace {

constexpr ULONG kWriteFault = 1;
constexpr ULONG kExecuteFault = 8;
constexpr NTSTATUS kNotResident = STATUS_IN_PAGE_ERROR | 0x10000000;

enum class PageIn { kDone, kNothingThere, kNoMemory };

PageIn BringIn(PMMPTE pte) {
  for (;;) {
    const MMPTE old = Load(pte);
    if (old.u.Hard.Valid != 0) return PageIn::kDone;
    if (IsTransition(old)) {
      const PFN_NUMBER pfn = old.u.Trans.PageFrameNumber;
      const auto protection = static_cast<Protection>(old.u.Trans.Protection);
      // The location first: once the PTE is valid another processor may trim the page again.
      MmPfnDatabase[pfn].u3.e1.PageLocation = static_cast<UCHAR>(PageLocation::kActive);
      if (CompareExchange(pte, old, ValidPte(pfn, protection))) return PageIn::kDone;
      continue;
    }
    if (!IsDemandZero(old)) return PageIn::kNothingThere;
    const PFN_NUMBER pfn = AllocatePage(Zero::kYes);
    if (pfn == kNoPage) return PageIn::kNoMemory;
    SetPageOwner(pfn, pte, PageLocation::kActive);
    if (CompareExchange(pte, old, ValidPte(pfn, static_cast<Protection>(old.u.Soft.Protection))))
      return PageIn::kDone;
    FreePage(pfn);  // another processor was faster
  }
}

// 0x50's second parameter, as Windows 10 and later write it on x64.
ULONG_PTR BugCheckAccess(ULONG fault_code) {
  return fault_code == kWriteFault ? 2 : fault_code == kExecuteFault ? 0x10 : 0;
}

// The page is valid for this kind of access, so the TLB was stale; or it is not, and the machine stops.
NTSTATUS CheckValidPage(ULONG fault_code, ULONG64 va, MMPTE pte, PKTRAP_FRAME trap_frame) {
  const auto trap = reinterpret_cast<ULONG_PTR>(trap_frame);
  if (fault_code == kWriteFault && pte.u.Hard.Dirty1 == 0) {
    KeBugCheckEx(ATTEMPTED_WRITE_TO_READONLY_MEMORY, va, pte.u.Long, trap, 0xB);
  }
  if (fault_code == kExecuteFault && pte.u.Hard.NoExecute != 0) {
    KeBugCheckEx(ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY, va, pte.u.Long, trap, 2);
  }
  FlushPage(va);
  return STATUS_SUCCESS;
}

void MarkTransition(PMMPTE pte, ULONG64* trimmed) {
  for (;;) {
    const MMPTE old = Load(pte);
    if (old.u.Hard.Valid == 0) return;
    PMMPFN record = MmPfnDatabase + old.u.Hard.PageFrameNumber;
    if (record->u3.ReferenceCount != 1) return;  // locked
    record->u3.e1.PageLocation = static_cast<UCHAR>(PageLocation::kModified);
    // The processor may set Accessed or Dirty at any moment: try again then.
    if (CompareExchange(pte, old, TransitionPte(old.u.Hard.PageFrameNumber, ProtectionOf(old)))) {
      ++*trimmed;
      return;
    }
  }
}

}  // namespace

bool MakeResident(ULONG64 va) {
  const Walk walk = WalkTables(va);
  return walk.valid || (walk.level == 1 && BringIn(PteOf(va)) == PageIn::kDone);
}

ULONG64 TrimRange(ULONG64 va, ULONG64 pages) {
  ULONG64 trimmed = 0;
  SpinGuard guard(&g_pfn_lock);  // against MmProbeAndLockPages
  for (ULONG64 i = 0; i < pages; ++i) {
    // Reserved addresses may still be without a page table.
    if (WalkTables(va + i * kPageSize).level == 1) MarkTransition(PteOf(va) + i, &trimmed);
  }
  return trimmed;
}

}  // namespace mm

extern "C" NTSTATUS MmAccessFault(ULONG FaultCode, PVOID VirtualAddress, KPROCESSOR_MODE PreviousMode,
                                  PKTRAP_FRAME TrapFrame) {
  using namespace mm;
  const ULONG64 va = Va(VirtualAddress);
  const Walk walk = WalkTables(va);
  if (walk.valid) {
    // Only system pages stop the machine; user pages have no meaning in the kernel's own address space.
    if (IsSystemAddress(va)) return CheckValidPage(FaultCode, va, walk.entry, TrapFrame);
    return STATUS_ACCESS_VIOLATION;
  }
  // Where special pool has no page there is none at any IRQL: the mistake is told from a page that is out.
  if (!walk.valid && !IsTransition(walk.entry) &&
      MmClassifySpecialPoolAddress(VirtualAddress) != MmNotSpecialPool) {
    KeBugCheckEx(PAGE_FAULT_IN_NONPAGED_AREA, va, BugCheckAccess(FaultCode),
                 TrapFrame != nullptr ? TrapFrame->Rip : 0, 0);
  }
  if (KeGetCurrentIrql() >= DISPATCH_LEVEL) return kNotResident;
  if (!IsSystemAddress(va)) return STATUS_ACCESS_VIOLATION;
  const ULONG_PTR rip = TrapFrame != nullptr ? TrapFrame->Rip : 0;
  if (walk.level != 1) KeBugCheckEx(PAGE_FAULT_IN_NONPAGED_AREA, va, BugCheckAccess(FaultCode), rip, 2);
  switch (BringIn(PteOf(va))) {
    case PageIn::kDone:
      return STATUS_SUCCESS;
    case PageIn::kNoMemory:
      return STATUS_NO_MEMORY;
    case PageIn::kNothingThere:
      break;
  }
  KeBugCheckEx(PAGE_FAULT_IN_NONPAGED_AREA, va, BugCheckAccess(FaultCode), rip,
               IsCanonical(va) ? (walk.entry.u.Long == 0 ? 0 : 2) : 4);
}
