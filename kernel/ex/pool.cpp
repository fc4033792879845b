// Nonpaged and paged pool over mm's pages.
#include "ex/pool.h"

#include "ex/pool_blocks.h"
#include "ex/pool_tables.h"
#include "ke/ke.h"
#include "mm/mm_internal.h"
#include "nt/eprocess.h"

// Windows's name for it: a fault in here is a damaged pool (bug check 0xC5), and other tools find the kernel
// by it.
#pragma code_seg("POOLCODE")

extern "C" {
PPOOL_TRACKER_TABLE PoolTrackTable;
SIZE_T PoolTrackTableSize;
SIZE_T PoolTrackTableMask;
PPOOL_TRACKER_BIG_PAGES PoolBigPageTable;
SIZE_T PoolBigPageTableSize;
}

namespace ex {
namespace {

using mm::kPageSize;
using mm::Va;

constexpr ULONG kTagEntries = 2048;
constexpr ULONG64 kFirstBigEntries = 1024;
constexpr ULONG64 kKeptPages = 32;  // free pages that a pool keeps for its next blocks

// Kinds of 0xC2 and 0x19.
constexpr ULONG kBadAllocationIrql = 8;
constexpr ULONG kBadFreeIrql = 9;
constexpr ULONG kWrongTag = 0xA;
constexpr ULONG kFreedTwice = 7;
constexpr ULONG kUserAddress = 0x40;
constexpr ULONG kNeverInPool = 0x42;
constexpr ULONG kNotAllocated = 0x46;
constexpr ULONG kDamagedFreeList = 3;
constexpr ULONG kDamagedHeader = 0x20;
constexpr ULONG kNoTrackingEntry = 0x22;

// Guards a pool: a spin lock for nonpaged pool; for paged pool a lock that lets its holder take page faults.
class PoolLock {
 public:
  void Init(bool paged) {
    paged_ = paged;
    KeInitializeSpinLock(&spin_);
    sleep_.Init();
  }
  KIRQL Acquire() { return paged_ ? sleep_.Acquire() : KeAcquireSpinLockRaiseToDpc(&spin_); }
  void Release(KIRQL old) {
    if (paged_) {
      sleep_.Release(old);
    } else {
      KeReleaseSpinLock(&spin_, old);
    }
  }

 private:
  bool paged_;
  KSPIN_LOCK spin_;
  mm::SleepLock sleep_;
};

class PoolGuard {
 public:
  explicit PoolGuard(PoolLock& lock) : lock_(lock), irql_(lock.Acquire()) {}
  ~PoolGuard() { lock_.Release(irql_); }
  PoolGuard(const PoolGuard&) = delete;
  PoolGuard& operator=(const PoolGuard&) = delete;

 private:
  PoolLock& lock_;
  KIRQL irql_;
};

struct Pool {
  PoolLock lock;
  BlockPool blocks;
  mm::VaRegion* region;
  ULONG64* block_pages;  // a bit a page of the region: holds blocks of this pool. Guarded by `lock`.
  mm::Protection protection;
  bool paged;
  KIRQL highest_irql;
  POOL_TYPE type;

  ULONG64 PageIndex(ULONG64 va) const { return (va - region->base()) / kPageSize; }
  bool HoldsBlocks(ULONG64 va) const {
    const ULONG64 index = PageIndex(va);
    return (__atomic_load_n(&block_pages[index / 64], __ATOMIC_ACQUIRE) >> (index % 64) & 1) != 0;
  }
  void SetHoldsBlocks(ULONG64 va, bool holds) {
    const ULONG64 index = PageIndex(va);
    const ULONG64 bit = 1ull << (index % 64);
    if (holds) {
      __atomic_fetch_or(&block_pages[index / 64], bit, __ATOMIC_RELEASE);
    } else {
      __atomic_fetch_and(&block_pages[index / 64], ~bit, __ATOMIC_RELEASE);
    }
  }
};

constexpr ULONG kPools = 3;
constinit Pool g_pools[kPools] = {};
TagTable g_tags;
BigPageTable g_big;
KSPIN_LOCK g_big_lock;

Pool& PoolOf(PoolKind kind) {
  return g_pools[static_cast<ULONG>(kind)];
}

bool InitPool(PoolKind kind, mm::VaRegion& region, mm::Protection protection, POOL_TYPE type) {
  Pool& pool = PoolOf(kind);
  const ULONG64 words = mm::PageBitmap::WordsFor(region.pages());
  const PFN_NUMBER storage = MmAllocateContiguousPages(mm::PagesFor(words * sizeof(ULONG64)));
  if (storage == mm::kNoPage) return false;
  pool.paged = kind == PoolKind::kPaged;
  pool.lock.Init(pool.paged);
  pool.blocks.Init(static_cast<uint8_t>(static_cast<ULONG>(kind) + 1), pool.paged);
  pool.region = &region;
  pool.block_pages = static_cast<ULONG64*>(mm::PageAddress(storage));
  pool.protection = protection;
  pool.highest_irql = pool.paged ? APC_LEVEL : DISPATCH_LEVEL;
  pool.type = type;
  return true;
}

// Pages of a pool: resident, or (large paged allocations) demand-zero.
ULONG64 AllocatePages(Pool& pool, ULONG64 pages, bool resident, mm::Zero zero) {
  ULONG64 va = pool.region->Reserve(pages);
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

POOL_TRACKER_BIG_PAGES* MapTable(ULONG64 capacity) {
  const ULONG64 pages = mm::PagesFor(capacity * sizeof(POOL_TRACKER_BIG_PAGES));
  return reinterpret_cast<POOL_TRACKER_BIG_PAGES*>(
      AllocatePages(PoolOf(PoolKind::kNonPagedNx), pages, true, mm::Zero::kYes));
}

void RetireTable(PPOOL_TRACKER_BIG_PAGES table, ULONG64 capacity) {
  mm::RetireRange(*PoolOf(PoolKind::kNonPagedNx).region, Va(table),
                  mm::PagesFor(capacity * sizeof(POOL_TRACKER_BIG_PAGES)), mm::FreePagesToo::kYes);
}

void GrowBigTable() {
  const ULONG64 seen = g_big.capacity();
  const ULONG64 capacity =
      g_big.live() * 2 > seen ? seen * 2 : seen;  // same size: only sweeps out freed entries
  PPOOL_TRACKER_BIG_PAGES fresh = MapTable(capacity);
  if (fresh == nullptr) return;
  PPOOL_TRACKER_BIG_PAGES old = nullptr;
  {
    mm::SpinGuard guard(&g_big_lock);
    if (g_big.capacity() == seen && g_big.NeedsGrowth()) {
      old = g_big.entries();
      g_big.MoveTo(fresh, capacity);
      PoolBigPageTable = fresh;
      PoolBigPageTableSize = capacity;
    }
  }
  RetireTable(old != nullptr ? old : fresh, old != nullptr ? seen : capacity);
}

bool RecordBig(const PoolRequest& request, const Pool& pool, ULONG64 va) {
  POOL_TRACKER_BIG_PAGES entry = {};
  entry.Va = va;
  entry.Key = request.tag;
  entry.PoolType = static_cast<ULONG>(pool.type) & 0xFFF;
  entry.NumberOfBytes = request.bytes;
  entry.CallerAddress = request.caller;
  bool inserted = false;
  bool grow = false;
  {
    mm::SpinGuard guard(&g_big_lock);
    if (!g_big.IsFull()) {
      g_big.Insert(entry);
      inserted = true;
    }
    grow = g_big.NeedsGrowth();
  }
  if (grow) GrowBigTable();
  return inserted;
}

PVOID AllocateBig(const PoolRequest& request, Pool& pool) {
  if (request.bytes > pool.region->pages() * kPageSize) return nullptr;
  const ULONG64 pages = mm::PagesFor(request.bytes);
  const ULONG64 va = AllocatePages(pool, pages, !pool.paged, static_cast<mm::Zero>(request.zero));
  if (va == 0) return nullptr;
  if (!RecordBig(request, pool, va)) {
    mm::RetireRange(*pool.region, va, pages, mm::FreePagesToo::kYes);
    return nullptr;
  }
  g_tags.CountAllocation(request.tag, pool.paged, pages * kPageSize);
  return reinterpret_cast<PVOID>(va);
}

[[noreturn]] void StopOnDamage(PoolError error, PVOID block, ULONG tag) {
  const POOL_HEADER* header = BlockPool::HeaderOf(block);
  const ULONG_PTR next = Va(header) + header->BlockSize * kPoolUnit;
  switch (error) {
    case PoolError::kAlreadyFree:
      KeBugCheckEx(BAD_POOL_CALLER, kFreedTwice, 0, header->Ulong1, Va(block));
    case PoolError::kFreeListLinks:
      KeBugCheckEx(BAD_POOL_HEADER, kDamagedFreeList, Va(header), Va(header), next);
    default:
      KeBugCheckEx(BAD_POOL_HEADER, kDamagedHeader, Va(header), next, header->Ulong1);
  }
}

void Zero(PVOID block, SIZE_T bytes) {
  PVOID at = block;
  __asm__ volatile("rep stosb" : "+D"(at), "+c"(bytes) : "a"(0) : "memory");
}

PVOID AllocateBlock(const PoolRequest& request, Pool& pool) {
  for (;;) {
    PoolError error = PoolError::kNone;
    PVOID block = nullptr;
    SIZE_T payload = 0;
    {
      PoolGuard guard(pool.lock);
      block = pool.blocks.Allocate(request.bytes, request.tag, request.caller, request.cache_aligned, &error);
      if (block != nullptr && error == PoolError::kNone) payload = BlockPool::PayloadOf(block);
    }
    if (error != PoolError::kNone) StopOnDamage(error, static_cast<PUCHAR>(block) + kPoolUnit, request.tag);
    if (block != nullptr) {
      g_tags.CountAllocation(request.tag, pool.paged, payload + kPoolUnit);
      if (request.zero == PoolZero::kYes) Zero(block, payload);
      return block;
    }
    const ULONG64 page = AllocatePages(pool, 1, true, mm::Zero::kYes);
    if (page == 0) return nullptr;
    PoolGuard guard(pool.lock);
    pool.blocks.AddPage(reinterpret_cast<PVOID>(page));
    pool.SetHoldsBlocks(page, true);
  }
}

void CheckFreeIrql(const Pool& pool, PVOID block) {
  const KIRQL irql = KeGetCurrentIrql();
  if (irql > pool.highest_irql) KeBugCheckEx(BAD_POOL_CALLER, kBadFreeIrql, irql, pool.type, Va(block));
}

void FreeBig(PVOID block, ULONG tag, Pool& first_of_region) {
  CheckFreeIrql(first_of_region, block);
  POOL_TRACKER_BIG_PAGES entry = {};
  bool found = false;
  {
    mm::SpinGuard guard(&g_big_lock);
    found = g_big.Remove(Va(block), &entry);
  }
  if (!found) KeBugCheckEx(BAD_POOL_HEADER, kNoTrackingEntry, Va(block), 0, 0);
  if (tag != 0 && entry.Key != tag) KeBugCheckEx(BAD_POOL_CALLER, kWrongTag, Va(block), entry.Key, tag);
  const ULONG64 pages = mm::PagesFor(entry.NumberOfBytes);
  g_tags.CountFree(entry.Key, first_of_region.paged, pages * kPageSize);
  mm::RetireRange(*first_of_region.region, Va(block), pages, mm::FreePagesToo::kYes);
}

void FreeBlock(PVOID block, ULONG tag, Pool& pool) {
  CheckFreeIrql(pool, block);
  PVOID empty_page = nullptr;
  PoolError error = PoolError::kNone;
  ULONG block_tag = 0;
  SIZE_T bytes = 0;
  {
    PoolGuard guard(pool.lock);
    error = pool.blocks.Check(block);
    if (error == PoolError::kNone) {
      block_tag = BlockPool::HeaderOf(block)->PoolTag;
      bytes = BlockPool::PayloadOf(block) + kPoolUnit;
      if (tag == 0 || tag == block_tag) error = pool.blocks.Free(block, &empty_page);
    }
    if (empty_page != nullptr && pool.blocks.whole_pages() < kKeptPages) {
      pool.blocks.AddPage(empty_page);
      empty_page = nullptr;
    }
    if (empty_page != nullptr) pool.SetHoldsBlocks(Va(empty_page), false);
  }
  if (error != PoolError::kNone) StopOnDamage(error, block, tag);
  if (tag != 0 && tag != block_tag) KeBugCheckEx(BAD_POOL_CALLER, kWrongTag, Va(block), block_tag, tag);
  g_tags.CountFree(block_tag, pool.paged, bytes);
  if (empty_page != nullptr) mm::RetireRange(*pool.region, Va(empty_page), 1, mm::FreePagesToo::kYes);
}

// The pool whose blocks are in this page; 0: none.
Pool* FindPoolOfBlock(ULONG64 va) {
  for (Pool& pool : g_pools) {
    if (pool.region->Contains(va) && pool.HoldsBlocks(va)) return &pool;
  }
  return nullptr;
}

Pool* FindPoolOfAddress(ULONG64 va) {
  for (Pool& pool : g_pools) {
    if (pool.region->Contains(va)) return &pool;
  }
  return nullptr;
}

struct ImageQuery {
  ULONG64 low;
  ULONG64 high;
  MmPoolBlockCallback callback;
  PVOID context;
  ULONG64 count;

  void Report(PVOID address, SIZE_T bytes, ULONG tag, bool paged, PVOID caller) {
    if (Va(caller) < low || Va(caller) >= high) return;
    ++count;
    const MmPoolBlock block = {address, bytes, tag, paged, caller};
    if (callback != nullptr) callback(&block, context);
  }
};

// Page by page, so that the lock is never held for long.
void QueryBlocks(Pool& pool, ImageQuery& query) {
  const ULONG64 words = mm::PageBitmap::WordsFor(pool.region->pages());
  for (ULONG64 word = 0; word < words; ++word) {
    for (ULONG64 bits = __atomic_load_n(&pool.block_pages[word], __ATOMIC_ACQUIRE); bits != 0;
         bits &= bits - 1) {
      const ULONG64 page =
          pool.region->base() + (word * 64 + static_cast<ULONG64>(__builtin_ctzll(bits))) * kPageSize;
      PoolGuard guard(pool.lock);
      if (!pool.HoldsBlocks(page)) continue;
      BlockPool::ForEachInUse(reinterpret_cast<PVOID>(page), [&](POOL_HEADER* header, PVOID payload) {
        query.Report(payload, BlockPool::PayloadOf(payload), header->PoolTag, pool.paged,
                     header->CallerAddress);
      });
    }
  }
}

}  // namespace

bool InitPools() {
  if (!InitPool(PoolKind::kNonPagedNx, mm::g_nonpaged_pool_region, mm::Protection::kReadWrite,
                NonPagedPoolNx) ||
      !InitPool(PoolKind::kNonPagedExecute, mm::g_nonpaged_pool_region, mm::Protection::kExecuteReadWrite,
                NonPagedPool) ||
      !InitPool(PoolKind::kPaged, mm::g_paged_pool_region, mm::Protection::kReadWrite, PagedPool)) {
    return false;
  }
  const PFN_NUMBER tags = MmAllocateContiguousPages(mm::PagesFor(kTagEntries * sizeof(POOL_TRACKER_TABLE)));
  PoolBigPageTable = MapTable(kFirstBigEntries);
  if (tags == mm::kNoPage || PoolBigPageTable == nullptr) return false;
  PoolTrackTable = static_cast<PPOOL_TRACKER_TABLE>(mm::PageAddress(tags));
  PoolTrackTableSize = kTagEntries;
  PoolTrackTableMask = kTagEntries - 1;
  PoolBigPageTableSize = kFirstBigEntries;
  g_tags.Init(PoolTrackTable, kTagEntries);
  g_big.Init(PoolBigPageTable, kFirstBigEntries);
  return true;
}

PVOID AllocatePool(const PoolRequest& request) {
  Pool& pool = PoolOf(request.kind);
  const KIRQL irql = KeGetCurrentIrql();
  if (irql > pool.highest_irql)
    KeBugCheckEx(BAD_POOL_CALLER, kBadAllocationIrql, irql, pool.type, request.bytes);
  return request.bytes > kLargestBlock ? AllocateBig(request, pool) : AllocateBlock(request, pool);
}

VOID FreePool(PVOID block, ULONG tag) {
  const ULONG64 va = Va(block);
  Pool* pool = FindPoolOfAddress(va);
  if (pool == nullptr) {
    KeBugCheckEx(BAD_POOL_CALLER, mm::IsSystemAddress(va) ? kNeverInPool : kUserAddress, va, 0, 0);
  }
  if (va % kPageSize == 0) {
    FreeBig(block, tag, *pool);
    return;
  }
  Pool* owner = FindPoolOfBlock(va);
  if (owner == nullptr || va % kPoolUnit != 0) KeBugCheckEx(BAD_POOL_CALLER, kNotAllocated, va, 0, 0);
  FreeBlock(block, tag, *owner);
}

SIZE_T PoolBlockSize(PVOID block) {
  const ULONG64 va = Va(block);
  if (va % kPageSize == 0) {
    mm::SpinGuard guard(&g_big_lock);
    const POOL_TRACKER_BIG_PAGES* entry = g_big.FindOrNull(va);
    return entry == nullptr ? 0 : entry->NumberOfBytes;
  }
  Pool* pool = FindPoolOfBlock(va);
  if (pool == nullptr) return 0;
  PoolGuard guard(pool->lock);
  return pool->blocks.Check(block) == PoolError::kNone ? BlockPool::PayloadOf(block) : 0;
}

}  // namespace ex

extern "C" {

ULONG64 MmQueryPoolOfImage(const KLDR_DATA_TABLE_ENTRY* Entry, MmPoolBlockCallback Callback, PVOID Context) {
  using namespace ex;
  const ULONG64 low = mm::Va(Entry->DllBase);
  ImageQuery query = {low, low + Entry->SizeOfImage, Callback, Context, 0};
  for (Pool& pool : g_pools) QueryBlocks(pool, query);
  mm::SpinGuard guard(&g_big_lock);
  for (ULONG64 i = 0; i < g_big.capacity(); ++i) {
    const POOL_TRACKER_BIG_PAGES& entry = g_big.entries()[i];
    if (!BigPageTable::IsLive(entry)) continue;
    query.Report(reinterpret_cast<PVOID>(entry.Va), entry.NumberOfBytes, entry.Key, (entry.PoolType & 1) != 0,
                 entry.CallerAddress);
  }
  return query.count;
}

ULONG64 MmTrimPagedPool() {
  const mm::VaRegion& region = mm::g_paged_pool_region;
  ULONG64 trimmed = 0;
  for (ULONG64 first = region.bitmap().NextUsed(0, region.pages()); first < region.pages();) {
    const ULONG64 end = region.bitmap().NextFree(first, region.pages());
    trimmed += mm::TrimRange(region.base() + first * mm::kPageSize, end - first);
    first = region.bitmap().NextUsed(end, region.pages());
  }
  if (trimmed != 0) KeFlushEntireTb(TRUE, TRUE);
  return trimmed;
}

}  // extern "C"
