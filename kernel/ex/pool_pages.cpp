// Pages under the pools, and the empty ones that are kept mapped for the next blocks.
#include "ex/pool_internal.h"
#include "mm/kept_ranges.h"

// NT's section for it: a fault in here at raised IRQL is a driver that wrote to a page it had given back (bug
// check 0xD0).
#pragma code_seg("POOLMI")

extern "C" {
// In a kept page, behind where the header of its first block was.
typedef struct _MMFREE_POOL_ENTRY {
  LIST_ENTRY List;
  PFN_NUMBER Size;
  ULONG64 Signature;
  struct _MMFREE_POOL_ENTRY* Owner;
} MMFREE_POOL_ENTRY, *PMMFREE_POOL_ENTRY;
}

namespace ex {
namespace {

constexpr ULONG64 kKeptPages = 32;
constexpr unsigned kCorruptListEntry = 3;  // FAST_FAIL_CORRUPT_LIST_ENTRY
constexpr ULONG64 kFreeSignature = 0x50554F4C;

constexpr ULONG64 kEntryOffset = kPoolUnit;

void Fill(PMMFREE_POOL_ENTRY entry) {
  entry->Size = 1;
  entry->Signature = kFreeSignature;
  entry->Owner = entry;
}

// RemoveHeadList, with the check that Windows makes: a damaged list is bug check 0x139.
__attribute__((noinline)) PMMFREE_POOL_ENTRY MiUnlinkFreePoolPage(Pool& pool) {
  PLIST_ENTRY first = pool.free_pages.Flink;
  PLIST_ENTRY next = first->Flink;
  if (first->Blink != &pool.free_pages || next->Blink != first) {
    __fastfail(kCorruptListEntry);
  }
  pool.free_pages.Flink = next;
  next->Blink = &pool.free_pages;
  return CONTAINING_RECORD(first, MMFREE_POOL_ENTRY, List);
}

ULONG64 TakeKept(Pool& pool) {
  PoolGuard guard(pool.page_lock);
  if (pool.free_pages.Flink == &pool.free_pages) return 0;
  --pool.descriptor().FreePages;
  return Va(MiUnlinkFreePoolPage(pool)) - kEntryOffset;
}

}  // namespace

ULONG64 AllocatePages(Pool& pool, ULONG64 pages, bool resident, mm::Zero zero) {
  ULONG64 va = pool.paged ? 0 : mm::TakeKeptRange(pages, pool.protection, zero);
  if (va != 0) return va;
  va = pool.region->Reserve(pages);
  if (va == 0 && mm::DrainRetired()) va = pool.region->Reserve(pages);
  if (va == 0) return 0;
  bool mapped = false;
  if (resident) {
    mapped = mm::MapFreshPages(va, pages, pool.protection, zero);
  } else {
    mapped = mm::EnsurePageTables(va, pages);
    for (ULONG64 i = 0; mapped && i < pages; ++i)
      mm::Store(mm::PteOf(va) + i, mm::DemandZeroPte(pool.protection));
  }
  if (mapped) return va;
  pool.region->Release(va, pages);
  return 0;
}

ULONG64 TakeBlockPage(Pool& pool) {
  ULONG64 va = TakeKept(pool);
  if (va == 0) va = AllocatePages(pool, 1, true, mm::Zero::kNo);
  if (va != 0) __atomic_fetch_add(&pool.descriptor().TotalPages, 1, __ATOMIC_RELAXED);
  return va;
}

void GiveBlockPage(Pool& pool, ULONG64 va) {
  __atomic_fetch_sub(&pool.descriptor().TotalPages, 1, __ATOMIC_RELAXED);
  {
    PoolGuard guard(pool.page_lock);
    if (pool.descriptor().FreePages < kKeptPages) {
      ++pool.descriptor().FreePages;
      auto* entry = reinterpret_cast<PMMFREE_POOL_ENTRY>(va + kEntryOffset);
      Fill(entry);
      PLIST_ENTRY first = pool.free_pages.Flink;
      entry->List.Flink = first;
      entry->List.Blink = &pool.free_pages;
      first->Blink = &entry->List;
      pool.free_pages.Flink = &entry->List;
      return;
    }
  }
  mm::RetireRange(*pool.region, va, 1, mm::FreePagesToo::kYes);
}

void DrainBlockPages(Pool& pool) {
  while (const ULONG64 va = TakeKept(pool)) mm::RetireRange(*pool.region, va, 1, mm::FreePagesToo::kYes);
}

}  // namespace ex
