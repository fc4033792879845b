// Pages between memory and page file: bringing in, trimming, writing out.
//
// A page leaves in two steps. Trimming makes its PTE a transition PTE; once every TLB is flushed nobody can
// write to it. Writing it out copies it to a slot without any lock and then, under the PFN lock, replaces the
// PTE if nobody has touched the page meanwhile (a touch clears the record's WriteInProgress).
#include "ke/ke.h"
#include "mm/mm_internal.h"

namespace mm {
namespace {

// Page-ins of one PTE are serial: otherwise a reader could be so late that its slot belongs to somebody else.
// The holder does I/O; nothing that serves it takes these (page_file.cpp).
constexpr ULONG kPageInLocks = 16;
SleepLock g_page_in_locks[kPageInLocks];

SleepLock& PageInLock(const MMPTE* pte) {
  const ULONG64 page = VaOf(pte) / kPageSize;
  return g_page_in_locks[(page ^ page >> 7) % kPageInLocks];
}

// True: the PTE is valid again. False: it has changed meanwhile.
bool TakeFromTransition(PMMPTE pte, MMPTE old) {
  const PFN_NUMBER pfn = old.u.Trans.PageFrameNumber;
  const auto protection = static_cast<Protection>(old.u.Trans.Protection);
  ke::SpinGuard guard(&g_pfn_lock);
  if (Load(pte).u.Long != old.u.Long) return false;
  PMMPFN record = MmPfnDatabase + pfn;
  record->u3.e1.PageLocation = static_cast<UCHAR>(PageLocation::kActive);
  record->u3.e1.WriteInProgress = 0;
  Count(g_events.transitions);
  return CompareExchange(pte, old, ValidPteAt(pte, pfn, protection));
}

NTSTATUS BringInZero(PMMPTE pte, MMPTE old) {
  const PFN_NUMBER pfn = AllocatePage(Zero::kYes);
  if (pfn == kNoPage) return STATUS_NO_MEMORY;
  SetPageOwner(pfn, pte, PageLocation::kActive);
  Count(g_events.demand_zeroes);
  const auto protection = static_cast<Protection>(old.u.Soft.Protection);
  if (!CompareExchange(pte, old, ValidPteAt(pte, pfn, protection))) FreePage(pfn);  // another was faster
  return STATUS_SUCCESS;
}

NTSTATUS BringInFromFile(PMMPTE pte, MMPTE old) {
  SleepGuard guard(PageInLock(pte));
  if (Load(pte).u.Long != old.u.Long) return STATUS_SUCCESS;
  const PFN_NUMBER pfn = AllocatePage(Zero::kNo);
  if (pfn == kNoPage) return STATUS_NO_MEMORY;
  const auto slot = static_cast<ULONG>(old.u.Soft.PageFileHigh);
  const NTSTATUS status = ReadSlot(slot, pfn);
  if (!NT_SUCCESS(status)) {
    FreePage(pfn);
    return status;
  }
  SetPageOwner(pfn, pte, PageLocation::kActive);
  const auto protection = static_cast<Protection>(old.u.Soft.Protection);
  if (CompareExchange(pte, old, ValidPteAt(pte, pfn, protection))) {
    FreeSlot(slot);
  } else {
    FreePage(pfn);
  }
  return STATUS_SUCCESS;
}

void MarkTransition(PMMPTE pte, ULONG64* trimmed) {
  for (;;) {
    const MMPTE old = Load(pte);
    if (old.u.Hard.Valid == 0) return;
    PMMPFN record = PfnRecordOrNull(old.u.Hard.PageFrameNumber);
    // Another mapping of the page, device memory; locked; a view's.
    if (record == nullptr || record->PteAddress != pte) return;
    if (record->u3.ReferenceCount != 1 || record->u4.PrototypePte != 0) return;
    record->u3.e1.PageLocation = static_cast<UCHAR>(PageLocation::kModified);
    // The processor may set Accessed or Dirty at any moment: try again then.
    if (CompareExchange(pte, old, TransitionPte(old.u.Hard.PageFrameNumber, ProtectionOf(old)))) {
      ++*trimmed;
      return;
    }
  }
}

bool BeginWrite(PMMPTE pte, MMPTE old) {
  ke::SpinGuard guard(&g_pfn_lock);
  PMMPFN record = MmPfnDatabase + old.u.Trans.PageFrameNumber;
  if (Load(pte).u.Long != old.u.Long || record->u3.ReferenceCount != 1 || record->u3.e1.WriteInProgress != 0)
    return false;
  record->u3.e1.WriteInProgress = 1;
  return true;
}

bool EndWrite(PMMPTE pte, MMPTE old, bool written, ULONG slot) {
  ke::SpinGuard guard(&g_pfn_lock);
  PMMPFN record = MmPfnDatabase + old.u.Trans.PageFrameNumber;
  const bool untouched = Load(pte).u.Long == old.u.Long && record->u3.e1.WriteInProgress != 0;
  if (!untouched) return false;
  record->u3.e1.WriteInProgress = 0;
  return written && record->u3.ReferenceCount == 1 &&
         CompareExchange(pte, old, PagedOutPte(slot, static_cast<Protection>(old.u.Trans.Protection)));
}

bool PageOut(PMMPTE pte) {
  const MMPTE old = Load(pte);
  if (!IsTransition(old)) return false;
  const ULONG slot = AllocateSlot();
  if (slot == 0) return false;
  bool gone = false;
  if (BeginWrite(pte, old)) {
    const NTSTATUS status = WriteSlot(slot, old.u.Trans.PageFrameNumber);
    gone = EndWrite(pte, old, NT_SUCCESS(status), slot);
  }
  if (gone) {
    FreePage(old.u.Trans.PageFrameNumber);
  } else {
    FreeSlot(slot);
  }
  return gone;
}

// The first address after `va` whose page table may exist.
ULONG64 NextTable(ULONG64 va, UCHAR level) {
  const ULONG64 span = kPageSize << (9 * (level - 1));
  return (va & ~(span - 1)) + span;
}

// Calls visit(PTE) for each page of the range that has a page table.
template <typename Visit>
void ForEachPte(ULONG64 va, ULONG64 pages, Visit visit) {
  const ULONG64 end = va + pages * kPageSize;
  while (va < end && va != 0) {
    const Walk walk = WalkTables(va);
    if (walk.level == 1) {
      visit(PteOf(va));
      va += kPageSize;
    } else {
      va = NextTable(va, walk.level);
    }
  }
}

}  // namespace

void InitPaging() {
  for (SleepLock& lock : g_page_in_locks) lock.Init();
}

NTSTATUS BringIn(PMMPTE pte) {
  for (;;) {
    const MMPTE old = Load(pte);
    if (old.u.Hard.Valid != 0) return STATUS_SUCCESS;
    if (IsTransition(old)) {
      if (TakeFromTransition(pte, old)) return STATUS_SUCCESS;
      continue;
    }
    NTSTATUS status;
    if (IsPagedOut(old)) {
      status = BringInFromFile(pte, old);
    } else if (IsDemandZero(old)) {
      status = BringInZero(pte, old);
    } else {
      return STATUS_ACCESS_VIOLATION;
    }
    if (!NT_SUCCESS(status)) return status;
  }
}

ULONG64 TrimRange(ULONG64 va, ULONG64 pages) {
  ULONG64 trimmed = 0;
  ke::SpinGuard guard(&g_pfn_lock);  // against MmProbeAndLockPages
  ForEachPte(va, pages, [&](PMMPTE pte) { MarkTransition(pte, &trimmed); });
  return trimmed;
}

ULONG64 PageOutRange(ULONG64 va, ULONG64 pages, ULONG64 enough) {
  ULONG64 written = 0;
  ForEachPte(va, pages, [&](PMMPTE pte) {
    if (MmAvailablePages < enough && PageOut(pte)) ++written;
  });
  return written;
}

void DropPage(PFN_NUMBER pfn) {
  bool last = true;
  {
    ke::SpinGuard guard(&g_pfn_lock);
    PMMPFN record = MmPfnDatabase + pfn;
    if (record->u3.ReferenceCount > 1) {
      --record->u3.ReferenceCount;
      record->PteAddress = nullptr;
      record->u4.FreeWhenUnlocked = 1;
      last = false;
    }
  }
  if (last) FreePage(pfn);
}

void DropPte(MMPTE old) {
  if (old.u.Hard.Valid != 0) {
    DropPage(old.u.Hard.PageFrameNumber);
  } else if (IsTransition(old)) {
    DropPage(old.u.Trans.PageFrameNumber);
  } else if (IsPagedOut(old)) {
    FreeSlot(static_cast<ULONG>(old.u.Soft.PageFileHigh));
  }
}

}  // namespace mm
