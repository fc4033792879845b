// A processor's stock of small freed blocks in front of the arenas: most allocations and frees touch nothing
// that another processor touches.
//
// A cached block is in use for its arena and carries POOL_HEADER_CACHED; its first 16 bytes hold a pattern
// that tells a write after the free. The cache's own lock is held with interrupts disabled, for a handful of
// instructions, and never while pool memory is touched: paged blocks may not be resident.
#include "ex/pool_internal.h"

#pragma code_seg("POOLCODE")

extern "C" {
PEXP_POOL_CACHES ExpPoolCaches;
}

namespace ex {
namespace {

ULONG g_processors;
constexpr ULONG kBatch = EXP_POOL_CACHE_DEPTH / 2;

// A thread that moves to another processor right afterwards uses this one's cache: the lock allows it.
EXP_POOL_CACHE& CacheOf(const Pool& pool, ULONG64 units) {
  return ExpPoolCaches[KeCurrentProcessor() % g_processors].Caches[pool.index][units - 2];
}

ULONG TakeSome(EXP_POOL_CACHE& cache, PVOID* blocks, ULONG wanted) {
  mm::InterruptGuard guard(cache.Lock);
  ULONG count = 0;
  while (count < wanted && cache.Count != 0) blocks[count++] = cache.Blocks[--cache.Count];
  return count;
}

// Large blocks are kept in smaller numbers.
USHORT DepthFor(ULONG units) {
  const ULONG depth = 4096 / (units * static_cast<ULONG>(kPoolUnit));
  return static_cast<USHORT>(depth < 8 ? 8 : depth > EXP_POOL_CACHE_DEPTH ? EXP_POOL_CACHE_DEPTH : depth);
}

}  // namespace

bool InitCaches(ULONG processors) {
  const PFN_NUMBER pages = MmAllocateContiguousPages(mm::PagesFor(processors * sizeof(EXP_POOL_CACHES)));
  if (pages == mm::kNoPage) return false;
  ExpPoolCaches = static_cast<PEXP_POOL_CACHES>(mm::PageAddress(pages));
  g_processors = processors;
  for (ULONG processor = 0; processor < processors; ++processor) {
    for (auto& pool : ExpPoolCaches[processor].Caches) {
      for (ULONG i = 0; i < EXP_POOL_CACHE_CLASSES; ++i) pool[i].Depth = DepthFor(i + 2);
    }
  }
  return true;
}

PVOID TakeCached(const Pool& pool, ULONG64 units, PoolFinding* finding) {
  EXP_POOL_CACHE& cache = CacheOf(pool, units);
  PVOID block = nullptr;
  {
    mm::InterruptGuard guard(cache.Lock);
    if (cache.Count == 0) {
      ++cache.Misses;
      return nullptr;
    }
    ++cache.Hits;
    block = cache.Blocks[--cache.Count];
  }
  *finding = BlockPool::CheckFreedPattern(block);
  return block;
}

void KeepCached(const Pool& pool, PVOID block, ULONG64 units) {
  BlockPool::WriteFreedPattern(block);
  EXP_POOL_CACHE& cache = CacheOf(pool, units);
  {
    mm::InterruptGuard guard(cache.Lock);
    if (cache.Count < cache.Depth) {
      cache.Blocks[cache.Count++] = block;
      return;
    }
  }
  PVOID blocks[kBatch];
  const ULONG count = TakeSome(cache, blocks, cache.Depth / 2u);
  for (ULONG i = 0; i < count; ++i) ReleaseBlock(blocks[i]);
  ReleaseBlock(block);
}

void ReleaseBlock(PVOID block) {
  Arena* arena = ArenaOfBlock(Va(block));
  PVOID empty_page = nullptr;
  PoolFinding finding;
  {
    PoolGuard guard(arena->lock);
    finding = arena->blocks.CheckNeighbours(block);
    if (!finding) finding = arena->blocks.Free(block, &empty_page);
    if (empty_page != nullptr) {
      const Pool& pool = *arena->pool;
      const ULONG64 index = (Va(empty_page) - pool.region->base()) / kPageSize;
      __atomic_store_n(&pool.page_map[index], UCHAR{0}, __ATOMIC_RELEASE);
    }
  }
  if (finding) StopOnDamage(finding, block);
  if (empty_page != nullptr) GiveBlockPage(*arena->pool, Va(empty_page));
}

void DrainCaches(bool paged_too) {
  for (ULONG processor = 0; processor < g_processors; ++processor) {
    for (ULONG index = 0; index < EXP_POOLS; ++index) {
      if (index == EXP_POOL_PAGED && !paged_too) continue;
      for (EXP_POOL_CACHE& cache : ExpPoolCaches[processor].Caches[index]) {
        PVOID blocks[EXP_POOL_CACHE_DEPTH];
        const ULONG count = TakeSome(cache, blocks, EXP_POOL_CACHE_DEPTH);
        for (ULONG i = 0; i < count; ++i) {
          const PoolFinding finding = BlockPool::CheckFreedPattern(blocks[i]);
          if (finding) StopOnDamage(finding, blocks[i]);
          ReleaseBlock(blocks[i]);
        }
      }
    }
  }
}

void ForEachCachedAtCrash(void (*visit)(const void* block)) {
  for (ULONG processor = 0; processor < g_processors; ++processor) {
    for (auto& pool : ExpPoolCaches[processor].Caches) {
      for (const EXP_POOL_CACHE& cache : pool) {
        if (cache.Lock != 0) continue;
        for (ULONG i = 0; i < cache.Count && i < EXP_POOL_CACHE_DEPTH; ++i) visit(cache.Blocks[i]);
      }
    }
  }
}

}  // namespace ex
