// Ranges of system addresses, mapping of pages into them, and their deferred unmapping.
#include "mm/kept_ranges.h"
#include "mm/mm_types.h"

#include "ke/ke.h"

// NT's section for it: a fault in here at raised IRQL is a driver that damaged page table entries (bug check
// 0xDB).
#pragma code_seg("MISYSPTE")

namespace mm {

VaRegion g_nonpaged_pool_region;
VaRegion g_paged_pool_region;
VaRegion g_system_pte_region;
VaRegion g_image_region;

namespace {

constexpr ULONG64 kNonPagedPoolBase = 0xFFFFAB00'00000000;
constexpr ULONG64 kPagedPoolBase = 0xFFFFC600'00000000;
constexpr ULONG64 kSystemPteBase = 0xFFFFFB00'00000000;
constexpr ULONG64 kImageBase = 0xFFFFF802'10000000;
constexpr ULONG64 kImagePages = 64 * 1024;

// Ranges on their way out: unmapped, but other processors may still have them in their TLBs.
struct Retired {
  VaRegion* region;  // 0: the addresses stay reserved
  ULONG64 va;
  ULONG64 pages;
  PFN_NUMBER first_page;  // chain through MMPFN.u1.Flink
};
constexpr ULONG kRetiredRanges = 256;
constexpr ULONG64 kRetiredPages = 512;
constexpr ULONG kRetiredLists = 8;
struct RetiredList {
  bool draining;
  ULONG count;
  ULONG64 pages;
  Retired entries[kRetiredRanges];
};

KSPIN_LOCK g_retired_lock;
RetiredList g_retired_lists[kRetiredLists];
RetiredList* g_retired = &g_retired_lists[0];  // the one being filled; 0: every list is being drained

void ReleaseRange(const Retired& range) {
  for (PFN_NUMBER page = range.first_page; page != kNoPage;) {
    const PFN_NUMBER next = MmPfnDatabase[page].u1.Flink;
    FreePage(page);
    page = next;
  }
  if (range.region != nullptr) range.region->Release(range.va, range.pages);
}

void ReleaseRetired(RetiredList* list) {
  for (ULONG i = 0; i < list->count; ++i) ReleaseRange(list->entries[i]);
  list->count = 0;
  list->pages = 0;
}

RetiredList* FreeList() {
  for (RetiredList& list : g_retired_lists) {
    if (!list.draining) return &list;
  }
  return nullptr;
}

ULONG64 Clamp(ULONG64 value, ULONG64 low, ULONG64 high) {
  return value < low ? low : value > high ? high : value;
}

// Takes the page out of its PTE and puts it on the chain.
void ClearPte(PMMPTE pte, FreePagesToo free_pages, PFN_NUMBER* chain) {
  const MMPTE old = Exchange(pte, MMPTE{});
  if (IsPagedOut(old)) FreeSlot(static_cast<ULONG>(old.u.Soft.PageFileHigh));
  const bool resident = old.u.Hard.Valid != 0;
  if ((!resident && !IsTransition(old)) || free_pages == FreePagesToo::kNo) return;
  const PFN_NUMBER pfn = resident ? old.u.Hard.PageFrameNumber : old.u.Trans.PageFrameNumber;
  MmPfnDatabase[pfn].u1.Flink = *chain;
  *chain = pfn;
}

}  // namespace

bool VaRegion::Init(ULONG64 base, ULONG64 pages) {
  const ULONG64 words = PageBitmap::WordsFor(pages);
  const PFN_NUMBER storage = MmAllocateContiguousPages(PagesFor(2 * words * 8));
  if (storage == kNoPage || !EnsureTopLevel(base)) return false;
  bitmap_.Init(static_cast<uint64_t*>(PageAddress(storage)), pages);
  starts_ = static_cast<ULONG64*>(PageAddress(storage)) + words;
  bitmap_.MarkFree(0, pages);
  base_ = base;
  pages_ = pages;
  return true;
}

ULONG64 VaRegion::Reserve(ULONG64 pages, ULONG64 alignment_pages) {
  ke::SpinGuard guard(&lock_);
  const ULONG64 index = bitmap_.TakeRun(pages, alignment_pages);
  if (index == PageBitmap::kNone) return 0;
  starts_[index / 64] |= 1ull << (index % 64);
  return base_ + index * kPageSize;
}

void VaRegion::Close(ULONG64 va) {
  const ULONG64 index = (va - base_) / kPageSize;
  ke::SpinGuard guard(&lock_);
  starts_[index / 64] &= ~(1ull << (index % 64));
}

VaRegion::Match VaRegion::Compare(ULONG64 va, ULONG64 pages, ULONG64* mapped) {
  const ULONG64 index = (va - base_) / kPageSize;
  const auto starts = [this](ULONG64 at) { return (starts_[at / 64] >> (at % 64) & 1) != 0; };
  *mapped = 0;
  ke::SpinGuard guard(&lock_);
  if (!Contains(va) || bitmap_.IsFree(index)) return Match::kNotReserved;
  if (!starts(index)) {
    // Inside one, or what is left of one that is on its way out.
    for (ULONG64 at = index; at-- > 0 && !bitmap_.IsFree(at);) {
      if (starts(at)) return Match::kInside;
    }
    return Match::kNotReserved;
  }
  ULONG64 end = index + 1;
  while (end < pages_ && !bitmap_.IsFree(end) && !starts(end)) ++end;
  // Behind it may lie what is left of another one, which is not mapped and, under the lock, nobody reserves
  // anew: only what is mapped counts.
  while (*mapped < end - index && Load(PteOf(va) + *mapped).u.Hard.Valid != 0) ++*mapped;
  return end - index < pages ? Match::kWrongSize : Match::kWhole;
}

void VaRegion::Release(ULONG64 va, ULONG64 pages) {
  Close(va);
  ke::SpinGuard guard(&lock_);
  if (!bitmap_.MarkFree((va - base_) / kPageSize, pages))
    KeBugCheckEx(MEMORY_MANAGEMENT, 0x1236, va, pages, base_);
}

bool InitVaRegions() {
  const ULONG64 ram = MmNumberOfPhysicalPages;
  return g_nonpaged_pool_region.Init(kNonPagedPoolBase, Clamp(2 * ram, 64 * 1024, 4096 * 1024)) &&
         g_paged_pool_region.Init(kPagedPoolBase, Clamp(2 * ram, 64 * 1024, 4096 * 1024)) &&
         g_system_pte_region.Init(kSystemPteBase, Clamp(2 * ram, 128 * 1024, 4096 * 1024)) &&
         g_image_region.Init(kImageBase, kImagePages) &&
         InitKeptRanges(Clamp(KeLoaderBlock->processors, 1, 64));
}

ULONG64 ReserveSystemPtes(ULONG64 pages) {
  ULONG64 va = g_system_pte_region.Reserve(pages);
  if (va == 0 && DrainRetired()) va = g_system_pte_region.Reserve(pages);
  if (va == 0 || EnsurePageTables(va, pages)) return va;
  g_system_pte_region.Release(va, pages);
  return 0;
}

bool MapFreshPages(ULONG64 va, ULONG64 pages, Protection protection, Zero zero) {
  if (!EnsurePageTables(va, pages)) return false;
  for (ULONG64 i = 0; i < pages; ++i) {
    PMMPTE pte = PteOf(va) + i;
    const PFN_NUMBER pfn = AllocatePage(zero);
    if (pfn == kNoPage) {
      // Nobody knows the address yet, so no TLB holds it.
      while (i-- > 0) FreePage(Exchange(--pte, MMPTE{}).u.Hard.PageFrameNumber);
      return false;
    }
    SetPageOwner(pfn, pte, PageLocation::kActive);
    Store(pte, ValidPte(pfn, protection));
  }
  return true;
}

ULONG64 MapPhysicalPages(PFN_NUMBER first, ULONG64 pages, Protection protection, Cache cache) {
  const ULONG64 va = ReserveSystemPtes(pages);
  for (ULONG64 i = 0; va != 0 && i < pages; ++i)
    Store(PteOf(va) + i, ValidPte(first + i, protection, CacheOfPage(first + i, cache)));
  return va;
}

ULONG64 MapPageList(const PFN_NUMBER* list, ULONG64 pages, Protection protection, Cache cache) {
  const ULONG64 va = ReserveSystemPtes(pages);
  for (ULONG64 i = 0; va != 0 && i < pages; ++i)
    Store(PteOf(va) + i, ValidPte(list[i], protection, CacheOfPage(list[i], cache)));
  return va;
}

namespace {

PFN_NUMBER Unmap(ULONG64 va, ULONG64 pages, FreePagesToo free_pages) {
  PFN_NUMBER chain = kNoPage;
  for (ULONG64 i = 0; i < pages; ++i) {
    ClearPte(PteOf(va) + i, free_pages, &chain);
    FlushPage(va + i * kPageSize);
  }
  return chain;
}

// Flushes and reuses the list that is being filled. False: it is empty.
bool DrainList() {
  // Not to be preempted: a list that waits for its drainer's next turn is a list that nobody can fill.
  const KIRQL old_irql = KeGetCurrentIrql();
  if (old_irql < DISPATCH_LEVEL) KfRaiseIrql(DISPATCH_LEVEL);
  RetiredList* full = nullptr;
  {
    ke::SpinGuard guard(&g_retired_lock);
    if (g_retired != nullptr && g_retired->count != 0) {
      full = g_retired;
      full->draining = true;
      g_retired = FreeList();
    }
  }
  if (full != nullptr) {
    KeFlushEntireTb(TRUE, TRUE);
    ReleaseRetired(full);
    ke::SpinGuard guard(&g_retired_lock);
    full->draining = false;
    if (g_retired == nullptr) g_retired = full;
  }
  if (old_irql < DISPATCH_LEVEL) KeLowerIrql(old_irql);
  return full != nullptr;
}

void Queue(const Retired& range) {
  bool drain = false;
  bool queued = false;
  {
    ke::SpinGuard guard(&g_retired_lock);
    RetiredList* list = g_retired;
    queued = list != nullptr && list->count < kRetiredRanges;
    if (queued) {
      list->entries[list->count++] = range;
      list->pages += range.pages;
      drain = list->count == kRetiredRanges || list->pages >= kRetiredPages;
    }
  }
  if (!queued) {
    // Every list is full or being drained: this range alone.
    KeFlushEntireTb(TRUE, TRUE);
    ReleaseRange(range);
  } else if (drain) {
    DrainList();
  }
}

void QueuePoolRange(ULONG64 va, ULONG64 pages, PFN_NUMBER chain) {
  g_nonpaged_pool_region.Close(va);
  Queue({&g_nonpaged_pool_region, va, pages, chain});
}

}  // namespace

bool DrainRetired() {
  const bool kept = DrainKeptRanges(QueuePoolRange);
  return DrainList() || kept;
}

void CheckSystemPtes(ULONG64 va, ULONG64 pages) {
  ULONG64 mapped = 0;
  const auto match = g_system_pte_region.Compare(va, pages, &mapped);
  if (match == VaRegion::Match::kNotReserved && !g_system_pte_region.Contains(va)) {
    KeBugCheckEx(SYSTEM_PTE_MISUSE, 0x302, va, 0, 0);
  }
  // What is not mapped is no part of a living neighbour either.
  const bool mapped_there = match != VaRegion::Match::kNotReserved && Load(PteOf(va)).u.Hard.Valid != 0;
  if (!mapped_there) KeBugCheckEx(SYSTEM_PTE_MISUSE, 0x303, va, pages, 0);
  if (match == VaRegion::Match::kInside) KeBugCheckEx(SYSTEM_PTE_MISUSE, 0x304, va, pages, 0);
  // The reservation's last page is mapped, and the page after what is released is not.
  if (match == VaRegion::Match::kWrongSize || mapped != pages) {
    KeBugCheckEx(SYSTEM_PTE_MISUSE, 0x305, va, pages, mapped);
  }
}

void RetireRange(VaRegion& region, ULONG64 va, ULONG64 pages, FreePagesToo free_pages) {
  const PFN_NUMBER chain = Unmap(va, pages, free_pages);
  region.Close(va);
  Queue({&region, va, pages, chain});
}

void RetirePoolRange(ULONG64 va, ULONG64 pages, Protection protection) {
  const PFN_NUMBER chain = Unmap(va, pages, FreePagesToo::kYes);
  if (!KeepRange(va, pages, protection, chain)) QueuePoolRange(va, pages, chain);
}

void RetirePages(ULONG64 va, ULONG64 pages) {
  Queue({nullptr, va, pages, Unmap(va, pages, FreePagesToo::kYes)});
}

}  // namespace mm
