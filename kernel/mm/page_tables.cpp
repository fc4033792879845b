// Page tables: the system half, which all address spaces share, and the lower half of the current one.
#include "mm/mm_internal.h"

#include "ke/ke.h"

namespace mm {
namespace {

KSPIN_LOCK g_page_table_lock;

// Whether an entry of an upper level translates addresses of the lower half: the self-map shows such entries
// in the lower half of its own level.
bool IsUserTable(const MMPTE* entry) {
  const ULONG64 va = Va(entry);
  if (va >= Va(PxeOf(0))) return va < Va(PxeOf(0)) + kPageSize / 2;
  if (va >= Va(PpeOf(0))) return va < Va(PpeOf(0)) + (1ull << 20);
  return va >= Va(PdeOf(0)) && va < Va(PdeOf(0)) + (1ull << 29);
}

MMPTE TableEntry(const MMPTE* place, PFN_NUMBER pfn) {
  MMPTE entry = ValidPte(pfn, Protection::kExecuteReadWrite);
  entry.u.Hard.Write = 0;
  if (IsUserTable(place)) entry.u.Hard.Owner = 1;
  return entry;
}

// Makes `entry` (of an upper level) present. The table that it points to shows up in the self-map at once: a
// translation that was not present is in no TLB.
bool EnsureEntry(PMMPTE entry) {
  if (Load(entry).u.Hard.Valid != 0) return true;
  const PFN_NUMBER pfn = AllocatePage(Zero::kYes);
  if (pfn == kNoPage) return false;
  bool taken = false;
  {
    ke::SpinGuard guard(&g_page_table_lock);
    if (Load(entry).u.Hard.Valid == 0) {
      SetPageOwner(pfn, entry, PageLocation::kActive);
      Store(entry, TableEntry(entry, pfn));
      taken = true;
    }
  }
  if (!taken) FreePage(pfn);
  return true;
}

}  // namespace

bool EnsureTopLevel(ULONG64 va) {
  return EnsureEntry(PxeOf(va));
}

bool EnsurePageTables(ULONG64 va, ULONG64 pages) {
  constexpr ULONG64 kPdeSpan = 2 * 1024 * 1024;
  const ULONG64 last = va + pages * kPageSize - 1;
  for (ULONG64 at = va & ~(kPdeSpan - 1); at <= last; at += kPdeSpan) {
    if (!EnsureEntry(PxeOf(at)) || !EnsureEntry(PpeOf(at)) || !EnsureEntry(PdeOf(at))) return false;
  }
  return true;
}

Walk WalkTables(ULONG64 va) {
  Walk walk = {};
  if (!IsCanonical(va)) return walk;
  const PMMPTE entries[4] = {PxeOf(va), PpeOf(va), PdeOf(va), PteOf(va)};
  for (UCHAR level = 4; level >= 1; --level) {
    walk.level = level;
    walk.entry = Load(entries[4 - level]);
    if (walk.entry.u.Hard.Valid == 0) return walk;
    const bool leaf = level == 1 || (level < 4 && walk.entry.u.Hard.LargePage != 0);
    if (!leaf) continue;
    const ULONG64 span = kPageSize << (9 * (level - 1));
    walk.valid = true;
    walk.physical = (walk.entry.u.Hard.PageFrameNumber * kPageSize & ~(span - 1)) + (va & (span - 1));
    return walk;
  }
  return walk;
}

void FlushPage(ULONG64 va) {
  __asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

}  // namespace mm

extern "C" VOID MmRemoveIdentityMap() {
  mm::Store(mm::PxeOf(0), MMPTE{});
  KeFlushEntireTb(TRUE, TRUE);
}

extern "C" ULONG64 MmCreateProcessAddressSpace() {
  const PFN_NUMBER root = mm::AllocatePage(mm::Zero::kYes);
  if (root == mm::kNoPage) return 0;
  mm::SetPageOwner(root, mm::PteOf(boot::kPteBase), mm::PageLocation::kActive);
  auto* entries = static_cast<MMPTE*>(mm::PageAddress(root));
  for (ULONG slot = 256; slot < 512; ++slot) {
    entries[slot] = mm::Load(mm::PxeOf(0) + slot);
  }
  entries[boot::kSelfMapSlot] = mm::ValidPte(root, mm::Protection::kExecuteReadWrite);
  return root * mm::kPageSize;
}
