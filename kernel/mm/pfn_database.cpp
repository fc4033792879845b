// Physical pages: which are free (a bitmap over all PFNs) and a record for each page of RAM.
#include "ex/ex.h"
#include "mm/balance_set.h"
#include "mm/mm_internal.h"

extern "C" {
PMMPFN MmPfnDatabase = reinterpret_cast<PMMPFN>(0xFFFFFA80'00000000);
ULONG64 MmNumberOfPhysicalPages;
ULONG64 MmLowestPhysicalPage;
ULONG64 MmHighestPhysicalPage;
volatile ULONG64 MmAvailablePages;
}

namespace mm {

KSPIN_LOCK g_pfn_lock;
const boot::LoaderBlock* g_loader_block;

namespace {

using boot::MemoryType;

PageBitmap g_free;
bool g_records_ready;
bool g_boot_files_reclaimed;

bool IsRam(MemoryType type) {
  return type != MemoryType::kFirmwarePermanent;
}

// In the kernel's use from the start.
bool IsInitiallyUsed(MemoryType type) {
  return type == MemoryType::kStartupKernelStack || type == MemoryType::kSystemCode ||
         type == MemoryType::kMemoryData;
}

template <typename Visit>
void ForEachRange(Visit visit) {
  for (uint32_t i = 0; i < g_loader_block->memory_descriptor_count && i < boot::kMaxMemoryDescriptors; ++i) {
    visit(g_loader_block->memory[i]);
  }
}

void CountMemory() {
  MmLowestPhysicalPage = ~0ull;
  ForEachRange([](const boot::MemoryDescriptor& range) {
    if (!IsRam(range.type) || range.page_count == 0) return;
    MmNumberOfPhysicalPages += range.page_count;
    if (range.base_page < MmLowestPhysicalPage) MmLowestPhysicalPage = range.base_page;
    const ULONG64 last = range.base_page + range.page_count - 1;
    if (last > MmHighestPhysicalPage) MmHighestPhysicalPage = last;
  });
}

// A free range that can hold the bitmap, above the first megabytes.
PFN_NUMBER PlaceBitmap(ULONG64 pages) {
  PFN_NUMBER place = kNoPage;
  ForEachRange([&](const boot::MemoryDescriptor& range) {
    if (place == kNoPage && range.type == MemoryType::kFree && range.page_count >= pages &&
        range.base_page >= boot::kLoaderFirstPhysical / kPageSize) {
      place = range.base_page;
    }
  });
  return place;
}

// Processors start below 1 MiB: that memory stays out of the allocator.
constexpr PFN_NUMBER kFirstAllocatable = 0x100;

void SetRecord(PFN_NUMBER pfn, PMMPTE pte, PageLocation location) {
  MMPFN& record = MmPfnDatabase[pfn];
  record = {};
  record.PteAddress = pte;
  record.u3.ReferenceCount = location == PageLocation::kFree ? 0 : 1;
  record.u3.e1.PageLocation = static_cast<UCHAR>(location);
  record.u3.e1.CacheAttribute =
      static_cast<UCHAR>(location == PageLocation::kFree ? PageCache::kNotMapped : PageCache::kCached);
}

PFN_NUMBER Finish(PFN_NUMBER pfn, ULONG64 pages) {
  if (g_records_ready) {
    for (ULONG64 i = 0; i < pages; ++i) SetRecord(pfn + i, nullptr, PageLocation::kActive);
  }
  return pfn;
}

}  // namespace

const PageBitmap& FreePages() {
  return g_free;
}

void ZeroPage(PFN_NUMBER pfn) {
  void* address = PageAddress(pfn);
  ULONG64 words = kPageSize / 8;
  __asm__ volatile("rep stosq" : "+D"(address), "+c"(words) : "a"(0ull) : "memory");
}

void InitPhysicalPages(const boot::LoaderBlock* block) {
  g_loader_block = block;
  CountMemory();
  const ULONG64 bits = MmHighestPhysicalPage + 1;
  const ULONG64 pages = PagesFor(PageBitmap::WordsFor(bits) * 8);
  const PFN_NUMBER place = PlaceBitmap(pages);
  if (place == kNoPage) KeBugCheckEx(MEMORY_MANAGEMENT, 0x1238, pages, bits, 0);
  g_free.Init(static_cast<uint64_t*>(PageAddress(place)), bits);
  ForEachRange([](const boot::MemoryDescriptor& range) {
    if (range.type != MemoryType::kFree) return;
    const ULONG64 first = range.base_page < kFirstAllocatable ? kFirstAllocatable : range.base_page;
    const ULONG64 end = range.base_page + range.page_count;
    if (first < end) g_free.MarkFree(first, end - first);
  });
  g_free.MarkUsed(place, pages);
  MmAvailablePages = g_free.free_count();
}

bool InitPfnDatabase(const boot::LoaderBlock* block) {
  bool ok = EnsureTopLevel(Va(MmPfnDatabase));
  ForEachRange([&](const boot::MemoryDescriptor& range) {
    if (!ok || !IsRam(range.type) || range.page_count == 0) return;
    const ULONG64 start = Va(MmPfnDatabase + range.base_page) & ~(kPageSize - 1);
    const ULONG64 end = Va(MmPfnDatabase + range.base_page + range.page_count);
    ok = EnsurePageTables(start, PagesFor(end - start));
    for (ULONG64 va = start; ok && va < end; va += kPageSize) {
      if (Load(PteOf(va)).u.Hard.Valid != 0) continue;  // shared with the range before
      const PFN_NUMBER pfn = AllocatePage(Zero::kNo);
      ok = pfn != kNoPage;
      if (ok) Store(PteOf(va), ValidPte(pfn, Protection::kReadWrite));
    }
  });
  if (!ok) return false;
  // Free pages' records are written when the pages are given out.
  ForEachRange([](const boot::MemoryDescriptor& range) {
    if (!IsRam(range.type)) return;
    const ULONG64 end = range.base_page + range.page_count;
    for (ULONG64 pfn = g_free.NextUsed(range.base_page, end); pfn < end;
         pfn = g_free.NextUsed(pfn + 1, end)) {
      SetRecord(pfn, nullptr, PageLocation::kActive);
    }
  });
  g_records_ready = true;
  return true;
}

PFN_NUMBER AllocatePage(Zero zero) {
  if (ExFailPageOnPurpose(__builtin_return_address(0))) return kNoPage;
  PFN_NUMBER pfn = kNoPage;
  for (int attempt = 0; attempt < 2; ++attempt) {
    {
      ke::SpinGuard guard(&g_pfn_lock);
      const ULONG64 index = g_free.TakeOne();
      if (index != PageBitmap::kNone) pfn = index;
      MmAvailablePages = g_free.free_count();
    }
    if (pfn != kNoPage || !DrainRetired()) break;
  }
  if (MmAvailablePages < g_low_pages) RequestBalance();
  if (pfn == kNoPage) return kNoPage;
  if (zero == Zero::kYes) ZeroPage(pfn);
  return Finish(pfn, 1);
}

PFN_NUMBER AllocatePageRun(ULONG64 pages, ULONG64 low, ULONG64 high, ULONG64 boundary) {
  if (ExFailPageOnPurpose(__builtin_return_address(0))) return kNoPage;
  for (int attempt = 0; attempt < 2; ++attempt) {
    ULONG64 first = PageBitmap::kNone;
    {
      ke::SpinGuard guard(&g_pfn_lock);
      first = g_free.TakeRun(pages, 1, low, high, boundary);
      MmAvailablePages = g_free.free_count();
    }
    if (MmAvailablePages < g_low_pages) RequestBalance();
    if (first != PageBitmap::kNone) return Finish(first, pages);
    if (!DrainRetired()) break;
  }
  return kNoPage;
}

void FreePage(PFN_NUMBER pfn) {
  FreePageRun(pfn, 1);
}

void FreePageRun(PFN_NUMBER first, ULONG64 pages) {
  if (g_records_ready) {
    for (ULONG64 i = 0; i < pages; ++i) SetRecord(first + i, nullptr, PageLocation::kFree);
  }
  bool ok = true;
  {
    ke::SpinGuard guard(&g_pfn_lock);
    ok = g_free.MarkFree(first, pages);
    MmAvailablePages = g_free.free_count();
  }
  if (!ok) KeBugCheckEx(PFN_LIST_CORRUPT, 7, first, pages, MmHighestPhysicalPage);
}

PMMPFN PfnRecordOrNull(PFN_NUMBER pfn) {
  PMMPFN record = nullptr;
  ForEachRange([&](const boot::MemoryDescriptor& range) {
    if (IsRam(range.type) && pfn - range.base_page < range.page_count) record = MmPfnDatabase + pfn;
  });
  return record;
}

Cache CacheOfPage(PFN_NUMBER pfn, Cache wanted) {
  const PMMPFN record = PfnRecordOrNull(pfn);
  if (record == nullptr) return wanted;
  switch (static_cast<PageCache>(record->u3.e1.CacheAttribute)) {
    case PageCache::kNonCached:
      return Cache::kUncached;
    case PageCache::kCached:
      return Cache::kCached;
    case PageCache::kWriteCombined:
      return Cache::kWriteCombined;
    case PageCache::kNotMapped:
      break;
  }
  SetPageCache(pfn, 1, PageCacheOf(wanted));
  return wanted;
}

PageCache PageCacheOf(Cache cache) {
  return cache == Cache::kCached          ? PageCache::kCached
         : cache == Cache::kWriteCombined ? PageCache::kWriteCombined
                                          : PageCache::kNonCached;
}

void SetPageCache(PFN_NUMBER first, ULONG64 pages, PageCache cache) {
  for (ULONG64 i = 0; i < pages; ++i)
    MmPfnDatabase[first + i].u3.e1.CacheAttribute = static_cast<UCHAR>(cache);
}

void SetPageOwner(PFN_NUMBER pfn, PMMPTE pte, PageLocation location) {
  if (g_records_ready) SetRecord(pfn, pte, location);
}

}  // namespace mm

extern "C" {

VOID MmReclaimBootFiles() {
  using namespace mm;
  if (g_boot_files_reclaimed) return;
  g_boot_files_reclaimed = true;
  ForEachRange([](const boot::MemoryDescriptor& range) {
    if (range.type == MemoryType::kLoadedProgram) FreePageRun(range.base_page, range.page_count);
  });
}

PFN_NUMBER MmAllocateContiguousPages(ULONG64 Pages) {
  const PFN_NUMBER first = mm::AllocatePageRun(Pages, 0, ~0ull, 0);
  for (ULONG64 i = 0; first != mm::kNoPage && i < Pages; ++i) mm::ZeroPage(first + i);
  return first;
}

VOID MmFreeContiguousPages(PFN_NUMBER First, ULONG64 Pages) {
  mm::FreePageRun(First, Pages);
}

ULONG64 MmHighestPfnPlusOne() {
  return MmHighestPhysicalPage + 1;
}

ULONG64 MmDescribeDumpPages(ULONG64* Bitmap, ULONG64 Bits) {
  using namespace mm;
  const ULONG64 words = PageBitmap::WordsFor(Bits);
  for (ULONG64 i = 0; i < words; ++i) Bitmap[i] = 0;
  ULONG64 total = 0;
  ForEachRange([&](const boot::MemoryDescriptor& range) {
    const bool dynamic = range.type == MemoryType::kFree ||
                         (range.type == MemoryType::kLoadedProgram && g_boot_files_reclaimed);
    if (!dynamic && !IsInitiallyUsed(range.type)) return;
    const ULONG64 first =
        dynamic && range.base_page < kFirstAllocatable ? kFirstAllocatable : range.base_page;
    ULONG64 end = range.base_page + range.page_count;
    if (end > Bits) end = Bits;
    if (first >= end) return;
    for (ULONG64 pfn = g_free.NextUsed(first, end); pfn < end; pfn = g_free.NextUsed(pfn + 1, end)) {
      Bitmap[pfn / 64] |= 1ull << (pfn % 64);
      ++total;
    }
  });
  return total;
}

}  // extern "C"
