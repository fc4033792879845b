// Damage in the pools, looked for when the machine has stopped: nobody else runs, nothing may be waited for,
// nothing that is read can be trusted.
//
// What is left out, and said: pages that are not resident, arenas and caches that a frozen processor is in
// the middle of changing, and pages beyond a limit. NT looks at pool only in the debugger (!poolval).
#include "ex/ex.h"
#include "ex/pool_internal.h"
#include "kd/kd.h"

#pragma code_seg("POOLCODE")

extern "C" {
EXP_POOL_DAMAGE ExpPoolDamage[EXP_POOL_DAMAGES];
EXP_POOL_CHECK ExpPoolCheck;
}

namespace ex {
namespace {

constexpr ULONG64 kMostPages = 32 * 1024;

bool IsReadable(ULONG64 va) {
  return mm::IsSystemAddress(va) && mm::IsCanonical(va) && mm::WalkTables(va).valid;
}

void Note(ULONG kind, const void* where, const POOL_HEADER* block) {
  for (ULONG i = 0; i < ExpPoolCheck.Found; ++i) {
    if (ExpPoolDamage[i].Where == where) return;
  }
  if (ExpPoolCheck.Found == EXP_POOL_DAMAGES) return;
  EXP_POOL_DAMAGE& damage = ExpPoolDamage[ExpPoolCheck.Found++];
  damage = {};
  damage.Kind = kind;
  damage.Where = const_cast<void*>(where);
  damage.Value = *static_cast<const UNALIGNED ULONG64*>(where);
  if (block == nullptr) return;
  damage.Block = const_cast<POOL_HEADER*>(block + 1);
  damage.Tag = block->PoolTag;
  damage.Bytes = BlockPool::RequestedOf(damage.Block);
  damage.Caller = BlockPool::CallerOf(block);
}

void CheckGuardOf(const POOL_HEADER* header) {
  const auto* payload = reinterpret_cast<const UCHAR*>(header + 1);
  const ULONG64 end = BlockPool::PayloadOf(payload);
  for (ULONG64 i = end - header->UnusedBytes; i < end; ++i) {
    // Eight bytes are shown of what stands there: never across the page's end.
    if (payload[i] == kGuardByte) continue;
    Note(EXP_POOL_DAMAGE_BEHIND, payload + (i + 8 <= end ? i : end - 8), header);
    return;
  }
}

// A free block is linked to two others (or to the list's head): they must point back.
void CheckLinksOf(const POOL_HEADER* header) {
  const auto* links = reinterpret_cast<const ULONG64*>(header + 1);
  for (ULONG i = 0; i < 2; ++i) {
    const ULONG64 other = links[i];
    // A neighbour in paged pool may be on its way to the page file.
    if (!IsReadable(other) && ArenaOfBlock(other) != nullptr) continue;
    const bool points_back = other % sizeof(ULONG64) == 0 && IsReadable(other) &&
                             reinterpret_cast<const ULONG64*>(other)[1 - i] == Va(links);
    if (!points_back) return Note(EXP_POOL_DAMAGE_FREE_LINKS, links + i, header);
  }
}

void CheckBlockPage(ULONG64 page) {
  const Arena* arena = ArenaOfBlock(page);
  if (arena == nullptr) return;
  if (!IsReadable(page) || arena->lock.IsHeld() || ExpPoolCheck.Pages >= kMostPages) {
    ++ExpPoolCheck.LeftOut;
    return;
  }
  ++ExpPoolCheck.Pages;
  const POOL_HEADER* before = nullptr;
  const PoolFinding finding = arena->blocks.CheckPage(reinterpret_cast<PVOID>(page), &before);
  if (finding) return Note(EXP_POOL_DAMAGE_HEADER, finding.where, before);
  BlockPool::ForEachBlock(reinterpret_cast<PVOID>(page), [](const POOL_HEADER* header, ULONG64 units) {
    if (BlockPool::IsLive(header)) return CheckGuardOf(header);
    if ((header->PoolType & kPoolInUse) == 0 && units >= 2) CheckLinksOf(header);
  });
}

void CheckCached(const void* block) {
  const ULONG64 va = Va(block);
  const Arena* arena = ArenaOfBlock(va);
  if (arena == nullptr || va % kPoolUnit != 0 || !IsReadable(va) || arena->lock.IsHeld()) return;
  // Where headers are damaged, that is the damage that counts, and this one's label means nothing.
  if (arena->blocks.CheckPage(reinterpret_cast<PVOID>(va & ~(kPageSize - 1)))) return;
  const PoolFinding finding = BlockPool::CheckFreedPattern(block);
  if (finding) Note(EXP_POOL_DAMAGE_FREED, finding.where, BlockPool::HeaderOf(block));
}

void CheckBigAllocations() {
  for (const BigShard& shard : g_big) {
    if (shard.lock != 0) continue;
    for (ULONG64 i = 0; i < shard.table.capacity(); ++i) {
      const POOL_TRACKER_BIG_PAGES& entry = shard.table.entries()[i];
      const auto* end = reinterpret_cast<const UCHAR*>(entry.Va + entry.NumberOfBytes);
      const bool guarded = BigPageTable::IsLive(entry) && entry.Pattern != 0 && entry.SlushSize >= 8;
      if (!guarded || !IsReadable(Va(end))) continue;
      const UNALIGNED ULONG64 value = *reinterpret_cast<const UNALIGNED ULONG64*>(end);
      if (value == entry.Pattern * 0x0101010101010101) continue;
      Note(EXP_POOL_DAMAGE_BEHIND, end, nullptr);
      if (ExpPoolCheck.Found == 0 || ExpPoolDamage[ExpPoolCheck.Found - 1].Where != end) continue;
      EXP_POOL_DAMAGE& damage = ExpPoolDamage[ExpPoolCheck.Found - 1];
      damage.Block = reinterpret_cast<PVOID>(entry.Va);
      damage.Tag = entry.Key;
      damage.Bytes = entry.NumberOfBytes;
      damage.Caller = entry.CallerAddress;
    }
  }
}

void Print() {
  for (ULONG i = 0; i < ExpPoolCheck.Found; ++i) {
    const EXP_POOL_DAMAGE& damage = ExpPoolDamage[i];
    kd::Print("*** pool: damage at 0x%p, block 0x%p (tag %c%c%c%c, %u bytes, allocated at 0x%p)\n",
              damage.Where, damage.Block, damage.Tag & 0x7F, damage.Tag >> 8 & 0x7F, damage.Tag >> 16 & 0x7F,
              damage.Tag >> 24 & 0x7F, static_cast<ULONG>(damage.Bytes), damage.Caller);
  }
}

}  // namespace

}  // namespace ex

extern "C" VOID ExCheckPoolsAtCrash(const ULONG_PTR* About, ULONG Count) {
  using namespace ex;
  ExpPoolCheck = {};
  ExpPoolCheck.State = EXP_POOL_CHECK_BEGUN;
  for (ULONG i = 0; i < Count; ++i) {
    const ULONG64 page = About[i] & ~(kPageSize - 1);
    CheckBlockPage(page);
    CheckBlockPage(page - kPageSize);  // an overrun goes on in the next page
  }
  for (ULONG index = EXP_POOL_NONPAGED_EXECUTE; index <= EXP_POOL_PAGED; ++index) {
    const mm::VaRegion& region = *g_pools[index].region;
    const mm::PageBitmap& used = region.bitmap();
    for (ULONG64 at = used.NextUsed(0, region.pages()); at < region.pages();
         at = used.NextUsed(at + 1, region.pages()))
      CheckBlockPage(region.base() + at * kPageSize);
  }
  ForEachCachedAtCrash(CheckCached);
  CheckBigAllocations();
  ExpPoolCheck.State = EXP_POOL_CHECK_DONE;
  Print();
}
