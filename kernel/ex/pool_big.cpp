// Allocations of whole pages, tracked by address.
#include "ex/pool_internal.h"

#include "ob/ob.h"

#pragma code_seg("POOLCODE")

extern "C" {
PPOOL_TRACKER_BIG_PAGES PoolBigPageTable;
SIZE_T PoolBigPageTableSize;
}

namespace ex {

constinit BigShard g_big[kBigShards] = {};

namespace {

constexpr ULONG64 kFirstEntries = 128;  // a shard
constexpr ULONG64 kGuardBytes = 16;     // of the slush behind a nonpaged allocation

constexpr ULONG64 TablePages(ULONG64 capacity) {
  return mm::PagesFor(kBigShards * capacity * sizeof(POOL_TRACKER_BIG_PAGES));
}

// Memory for all shards, one behind the other: debuggers read one table.
POOL_TRACKER_BIG_PAGES* MapTable(ULONG64 capacity) {
  const ULONG64 pages = TablePages(capacity);
  return reinterpret_cast<POOL_TRACKER_BIG_PAGES*>(
      AllocatePages(PoolOf(PoolKind::kNonPagedNx), pages, true, mm::Zero::kYes));
}

void Publish(PPOOL_TRACKER_BIG_PAGES table, ULONG64 capacity) {
  PoolBigPageTable = table;
  PoolBigPageTableSize = kBigShards * capacity;
}

// Moves every shard to a larger table; `full` is the one that asks for it.
void GrowTable(BigShard& full) {
  const ULONG64 seen = full.table.capacity();
  const ULONG64 capacity =
      full.table.live() * 2 > seen ? seen * 2 : seen;  // same size: only sweeps out freed entries
  PPOOL_TRACKER_BIG_PAGES unused = MapTable(capacity);
  if (unused == nullptr) return;
  ULONG64 unused_capacity = capacity;
  const KIRQL irql = KfRaiseIrql(DISPATCH_LEVEL);
  for (BigShard& shard : g_big) mm::AcquireShort(shard.lock);
  if (full.table.capacity() == seen && full.table.NeedsGrowth()) {
    PPOOL_TRACKER_BIG_PAGES fresh = unused;
    unused = g_big[0].table.entries();
    unused_capacity = seen;
    for (ULONG i = 0; i < kBigShards; ++i) g_big[i].table.MoveTo(fresh + i * capacity, capacity);
    Publish(fresh, capacity);
  }
  for (BigShard& shard : g_big) mm::ReleaseShort(shard.lock);
  KeLowerIrql(irql);
  mm::RetireRange(*PoolOf(PoolKind::kNonPagedNx).region, Va(unused), TablePages(unused_capacity),
                  mm::FreePagesToo::kYes);
}

bool Record(const POOL_TRACKER_BIG_PAGES& entry) {
  BigShard& shard = BigShardOf(entry.Va);
  bool inserted = false;
  bool grow = false;
  {
    mm::InterruptGuard guard(shard.lock);
    if (!shard.table.IsFull()) {
      shard.table.Insert(entry);
      inserted = true;
    }
    grow = shard.table.NeedsGrowth();
  }
  if (grow) GrowTable(shard);
  return inserted;
}

ULONG64 GuardedBytes(const POOL_TRACKER_BIG_PAGES& entry) {
  return entry.SlushSize < kGuardBytes ? entry.SlushSize : kGuardBytes;
}

void CheckGuard(const POOL_TRACKER_BIG_PAGES& entry) {
  if (entry.Pattern == 0) return;
  const auto* end = reinterpret_cast<const UCHAR*>(entry.Va + entry.NumberOfBytes);
  for (ULONG64 i = 0; i < GuardedBytes(entry); ++i) {
    if (end[i] != entry.Pattern)
      KeBugCheckEx(BAD_POOL_HEADER, kDataBehindBlock, entry.Va, entry.NumberOfBytes, end[i]);
  }
}

}  // namespace
}  // namespace ex

// NT's name: a free of whole pages that nobody has allocated is found here.
extern "C" __attribute__((noinline)) VOID ExpRemoveTagForBigPages(PVOID Va, ULONG Tag,
                                                                  PPOOL_TRACKER_BIG_PAGES Entry) {
  using namespace ex;
  const auto address = reinterpret_cast<ULONG_PTR>(Va);
  bool found = false;
  bool wrong_tag = false;
  {
    BigShard& shard = BigShardOf(address);
    mm::InterruptGuard guard(shard.lock);
    const POOL_TRACKER_BIG_PAGES* entry = shard.table.FindOrNull(address);
    found = entry != nullptr;
    if (found) *Entry = *entry;
    wrong_tag = found && Tag != 0 && entry->Key != Tag;
    if (found && !wrong_tag) shard.table.Remove(address, Entry);
  }
  if (!found) KeBugCheckEx(BAD_POOL_HEADER, kNoTrackingEntry, address, 0, 0);
  if (wrong_tag) KeBugCheckEx(BAD_POOL_CALLER, kWrongTag, address, Entry->Key, Tag);
}

namespace ex {

bool InitBigPages() {
  PPOOL_TRACKER_BIG_PAGES table = MapTable(kFirstEntries);
  if (table == nullptr) return false;
  for (ULONG i = 0; i < kBigShards; ++i) g_big[i].table.Init(table + i * kFirstEntries, kFirstEntries);
  Publish(table, kFirstEntries);
  return true;
}

PVOID AllocateBig(const PoolRequest& request, Pool& pool, PEPROCESS process) {
  if (request.bytes > pool.region->pages() * kPageSize) return nullptr;
  const ULONG64 pages = mm::PagesFor(request.bytes);
  const ULONG64 va = AllocatePages(pool, pages, !pool.paged, static_cast<mm::Zero>(request.zero));
  if (va == 0) return nullptr;
  POOL_TRACKER_BIG_PAGES entry = {};
  entry.Va = va;
  entry.Key = request.tag;
  entry.PoolType = static_cast<ULONG>(pool.type) & 0xFFF;
  entry.SlushSize = static_cast<ULONG>(pages * kPageSize - request.bytes) & 0xFFF;
  entry.Pattern = pool.paged ? 0 : kGuardByte;  // a guard in paged pool would make its last page resident
  entry.NumberOfBytes = request.bytes;
  entry.ProcessBilled = process;
  entry.CallerAddress = request.caller;
  for (ULONG64 i = 0; entry.Pattern != 0 && i < GuardedBytes(entry); ++i)
    reinterpret_cast<UCHAR*>(va + request.bytes)[i] = kGuardByte;
  if (!Record(entry)) {
    mm::RetireRange(*pool.region, va, pages, mm::FreePagesToo::kYes);
    return nullptr;
  }
  __atomic_fetch_add(&pool.descriptor().TotalBigPages, pages, __ATOMIC_RELAXED);
  g_tags.CountAllocation(KeCurrentProcessor(), request.tag, pool.paged, pages * kPageSize);
  return reinterpret_cast<PVOID>(va);
}

void FreeBig(PVOID block, ULONG tag, Pool& first_of_region) {
  POOL_TRACKER_BIG_PAGES entry;
  ExpRemoveTagForBigPages(block, tag, &entry);
  CheckGuard(entry);
  const ULONG64 pages = mm::PagesFor(entry.NumberOfBytes);
  const bool paged = first_of_region.paged;
  const Pool& pool = entry.PoolType == static_cast<ULONG>(NonPagedPool) ? PoolOf(PoolKind::kNonPagedExecute)
                                                                        : first_of_region;
  __atomic_fetch_sub(&pool.descriptor().TotalBigPages, pages, __ATOMIC_RELAXED);
  g_tags.CountFree(KeCurrentProcessor(), entry.Key, paged, pages * kPageSize);
  if (entry.ProcessBilled != nullptr) {
    auto* process = static_cast<PEPROCESS>(entry.ProcessBilled);
    ReturnQuota(process, paged, entry.NumberOfBytes);
    ObDereferenceObjectDeferDelete(process);
  }
  if (paged) {
    mm::RetireRange(*pool.region, Va(block), pages, mm::FreePagesToo::kYes);
  } else {
    mm::RetirePoolRange(Va(block), pages, pool.protection);
  }
}

SIZE_T BigBlockSize(PVOID block, bool* charged) {
  BigShard& shard = BigShardOf(Va(block));
  mm::InterruptGuard guard(shard.lock);
  const POOL_TRACKER_BIG_PAGES* entry = shard.table.FindOrNull(Va(block));
  *charged = entry != nullptr && entry->ProcessBilled != nullptr;
  return entry == nullptr ? 0 : entry->NumberOfBytes;
}

}  // namespace ex
