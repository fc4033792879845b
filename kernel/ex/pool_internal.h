// What the files of the pools share.
#pragma once

#include "ex/pool.h"
#include "ex/pool_blocks.h"
#include "ex/pool_tables.h"
#include "ke/ke.h"
#include "mm/mm_internal.h"
#include "mm/short_lock.h"

namespace ex {

using mm::kPageSize;
using mm::Va;

// Kinds of 0xC2, 0x19 and 0x13A.
inline constexpr ULONG kFreedTwice = 7, kBadAllocationIrql = 8, kBadFreeIrql = 9, kWrongTag = 0xA,
                       kBadQuotaProcess = 0xB, kUserAddress = 0x40, kNeverInPool = 0x42, kNotAllocated = 0x46;
inline constexpr ULONG kDamagedFreeList = 3, kContradiction = 5, kDamagedHeader = 0x20,
                       kDataBehindBlock = 0x21, kNoTrackingEntry = 0x22, kDamagedFreeHeader = 0x23;
inline constexpr ULONG kHeapBadHeader = 3, kHeapUseAfterFree = 0xB;

// Guards a pool: a spin lock for nonpaged pool; for paged pool a lock that lets its holder take page faults.
class PoolLock {
 public:
  void Init(bool paged) {
    paged_ = paged;
    KeInitializeSpinLock(&spin_);
    sleep_.Init();
  }
  // Without waiting, for the crash path: somebody was inside when the machine stopped.
  bool IsHeld() const { return paged_ ? sleep_.IsHeld() : (spin_ & 1) != 0; }
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

struct Pool;

// A share of a pool with a lock of its own. A processor allocates from one of them; a block goes back to the
// one whose page it lies in.
struct Arena {
  PoolLock lock;
  BlockPool blocks;
  Pool* pool;
};

struct Pool {
  mm::VaRegion* region;
  UCHAR* page_map;  // a byte a page of the region: the arena whose blocks are there, + 1
  Arena* arenas;    // arena_count
  mm::Protection protection;
  bool paged;
  KIRQL highest_irql;
  POOL_TYPE type;
  UCHAR index;  // EXP_POOL_*
  PoolLock page_lock;
  LIST_ENTRY free_pages;  // MMFREE_POOL_ENTRY in each page; under page_lock

  POOL_DESCRIPTOR& descriptor() const { return ExpPoolDescriptors[index]; }
};

inline constexpr ULONG kMaxArenas = 8;
extern Pool g_pools[EXP_POOLS];
extern Arena g_arenas[EXP_POOLS * kMaxArenas];
extern ULONG g_arena_count;  // a pool
extern TagTable g_tags;

inline Pool& PoolOf(PoolKind kind) {
  return g_pools[static_cast<ULONG>(kind)];
}
// The arena whose blocks are in this page; 0: none.
inline Arena* ArenaOfBlock(ULONG64 va) {
  for (ULONG i = EXP_POOL_NONPAGED_EXECUTE; i <= EXP_POOL_PAGED; ++i) {
    const Pool& pool = g_pools[i];
    if (!pool.region->Contains(va)) continue;
    const UCHAR owner =
        __atomic_load_n(&pool.page_map[(va - pool.region->base()) / kPageSize], __ATOMIC_ACQUIRE);
    return owner == 0 ? nullptr : &g_arenas[owner - 1];
  }
  return nullptr;
}

// ---- Pages (pool_pages.cpp) ----
// Pages of a pool: resident, or (large paged allocations) demand-zero. 0 without memory.
ULONG64 AllocatePages(Pool& pool, ULONG64 pages, bool resident, mm::Zero zero);
// A page for blocks; 0 without memory. Content undefined.
ULONG64 TakeBlockPage(Pool& pool);
void GiveBlockPage(Pool& pool, ULONG64 va);
void DrainBlockPages(Pool& pool);

// ---- Processors' caches (pool_caches.cpp) ----
inline constexpr ULONG64 kLargestCached = (EXP_POOL_CACHE_CLASSES + 1) * kPoolUnit - kPoolUnit;  // payload
bool InitCaches(ULONG processors);
// Calls visit(block) for each kept block; without locks, for the crash path.
void ForEachCachedAtCrash(void (*visit)(const void* block));
// With a finding when the block was written to after its free.
PVOID TakeCached(const Pool& pool, ULONG64 units, PoolFinding* finding);
// Keeps a claimed block, or gives several back to their arenas.
void KeepCached(const Pool& pool, PVOID block, ULONG64 units);
void DrainCaches(bool paged_too);
// Puts a claimed block back into its arena.
void ReleaseBlock(PVOID block);

// ---- Big allocations (pool_big.cpp) ----
bool InitBigPages();
PVOID AllocateBig(const PoolRequest& request, Pool& pool, PEPROCESS process);
void FreeBig(PVOID block, ULONG tag, Pool& first_of_region);
SIZE_T BigBlockSize(PVOID block, bool* charged);
// A share of the table with a lock of its own, by address: processors that free different allocations do not
// meet.
struct alignas(64) BigShard {
  mm::ShortLock lock;
  BigPageTable table;
};
inline constexpr ULONG kBigShards = 16;
extern BigShard g_big[kBigShards];
inline BigShard& BigShardOf(ULONG64 va) {
  return g_big[(va >> 12) * 0xD6E8FEB86659FD93 >> 60];
}

// Every allocation of whole pages; one that is made or freed meanwhile may be missed. IRQL <= DISPATCH_LEVEL.
void ForEachBigBlock(void (*visit)(const POOL_TRACKER_BIG_PAGES& entry, PVOID context), PVOID context);

// ---- Special pool (special_pool.cpp) ----
bool InitSpecialPool();
void DrainSpecialPool();

// ---- Damage (pool_damage.cpp) ----
[[noreturn]] void StopOnDamage(const PoolFinding& finding, const void* block);

}  // namespace ex
