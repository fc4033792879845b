// Walks over the pools: what an image has left, whether headers are whole; and the trimming of paged pool.
#include "ex/pool_damage.h"
#include "ex/pool_internal.h"
#include "nt/eprocess.h"

namespace ex {
namespace {

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

// Calls visit(arena, page) for each page of blocks, with the arena's lock held: never for long.
template <typename Visit>
void ForEachBlockPage(const Pool& pool, Visit visit) {
  const mm::PageBitmap& used = pool.region->bitmap();
  const ULONG64 pages = pool.region->pages();
  for (ULONG64 index = used.NextUsed(0, pages); index < pages; index = used.NextUsed(index + 1, pages)) {
    const ULONG64 page = pool.region->base() + index * kPageSize;
    Arena* arena = ArenaOfBlock(page);
    if (arena == nullptr) continue;
    PoolGuard guard(arena->lock);
    if (ArenaOfBlock(page) == arena) visit(*arena, reinterpret_cast<PVOID>(page));
  }
}

void QueryBlocks(const Pool& pool, ImageQuery& query) {
  ForEachBlockPage(pool, [&](Arena& arena, PVOID page) {
    BlockPool::ForEachInUse(page, [&](POOL_HEADER* header, PVOID payload) {
      query.Report(payload, BlockPool::RequestedOf(payload), header->PoolTag, arena.pool->paged,
                   BlockPool::CallerOf(header));
    });
  });
}

// An entry of the table of big allocations; false behind the last. One that moves while the caller goes
// through them may be missed or seen twice.
bool ReadBigEntry(BigShard& shard, ULONG64 index, POOL_TRACKER_BIG_PAGES* entry) {
  mm::InterruptGuard guard(shard.lock);
  if (index >= shard.table.capacity()) return false;
  *entry = shard.table.entries()[index];
  return true;
}

}  // namespace

void ForEachBigBlock(void (*visit)(const POOL_TRACKER_BIG_PAGES& entry, PVOID context), PVOID context) {
  for (BigShard& shard : g_big) {
    POOL_TRACKER_BIG_PAGES entry;
    for (ULONG64 i = 0; ReadBigEntry(shard, i, &entry); ++i) {
      if (BigPageTable::IsLive(entry)) visit(entry, context);
    }
  }
}

ULONG64 CheckPools() {
  ULONG64 pages = 0;
  for (ULONG index = EXP_POOL_NONPAGED_EXECUTE; index <= EXP_POOL_PAGED; ++index) {
    ForEachBlockPage(g_pools[index], [&](Arena& arena, PVOID page) {
      ++pages;
      const PoolFinding finding = arena.blocks.CheckPage(page);
      if (!finding) return;
      const auto* header = static_cast<const POOL_HEADER*>(finding.where);
      StopOnDamage(finding, header + 1);
    });
  }
  return pages;
}

}  // namespace ex

extern "C" {

ULONG64 MmQueryPoolOfImage(const KLDR_DATA_TABLE_ENTRY* Entry, MmPoolBlockCallback Callback, PVOID Context) {
  using namespace ex;
  const ULONG64 low = mm::Va(Entry->DllBase);
  ImageQuery query = {low, low + Entry->SizeOfImage, Callback, Context, 0};
  QueryBlocks(g_pools[EXP_POOL_NONPAGED_NX], query);
  QueryBlocks(g_pools[EXP_POOL_PAGED], query);
  for (ULONG64 i = 0; i < MiSpecialPoolSlotCount; ++i) {
    const MI_SPECIAL_POOL_SLOT& slot = MiSpecialPoolSlots[i];
    if (__atomic_load_n(&slot.State, __ATOMIC_ACQUIRE) != MI_SPECIAL_POOL_ALLOCATED) continue;
    query.Report(reinterpret_cast<PVOID>(MmSpecialPoolStart + i * 2 * kPageSize + slot.Offset),
                 slot.NumberOfBytes, slot.Tag, i >= MiSpecialPoolPagedSlots, slot.AllocatorCaller);
  }
  ForEachBigBlock(
      [](const POOL_TRACKER_BIG_PAGES& entry, PVOID context) {
        static_cast<ImageQuery*>(context)->Report(reinterpret_cast<PVOID>(entry.Va), entry.NumberOfBytes,
                                                  entry.Key, (entry.PoolType & 1) != 0, entry.CallerAddress);
      },
      &query);
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
  trimmed += mm::TrimRange(MmSpecialPoolStart + MiSpecialPoolPagedSlots * 2 * mm::kPageSize,
                           (MiSpecialPoolSlotCount - MiSpecialPoolPagedSlots) * 2);
  if (trimmed != 0) KeFlushEntireTb(TRUE, TRUE);
  return trimmed;
}

}  // extern "C"
