// Nonpaged and paged pool over mm's pages: what every allocation and every free goes through.
//
// Small blocks come from the processor's cache, else from an arena: a share of the pool with a lock of its
// own. A block's page says which arena it belongs to, whatever its header claims. What is larger takes whole
// pages.
#include "ex/pool.h"

#include "ex/pool_damage.h"
#include "ex/pool_internal.h"
#include "nt/eprocess.h"

// Windows's name for it: a fault in here is a damaged pool (bug check 0xC5), and other tools find the kernel
// by it.
#pragma code_seg("POOLCODE")

extern "C" {
PPOOL_TRACKER_TABLE PoolTrackTable;
PPOOL_TRACKER_TABLE ExPoolTagTables[64];
SIZE_T PoolTrackTableSize;
SIZE_T PoolTrackTableMask;
POOL_DESCRIPTOR ExpPoolDescriptors[EXP_POOLS];
uint8_t* ExpPoolPageMap[2];
}

namespace ex {

constinit Pool g_pools[EXP_POOLS] = {};
constinit Arena g_arenas[EXP_POOLS * kMaxArenas] = {};
ULONG g_arena_count;
TagTable g_tags;

namespace {

constexpr ULONG kTagEntries = 2048;
constexpr UCHAR kProcessObject = 3;  // KOBJECTS
constexpr ULONG kSpecialPoolCorruption = 0xC1, kSpecialAllocationIrql = 0x30;
constexpr ULONG64 kQuotaBytes = sizeof(PVOID);

void InitPool(PoolKind kind, mm::VaRegion& region, UCHAR* page_map, mm::Protection protection,
              POOL_TYPE type) {
  Pool& pool = PoolOf(kind);
  pool.paged = kind == PoolKind::kPaged;
  pool.region = &region;
  pool.page_map = page_map;
  pool.protection = protection;
  pool.highest_irql = pool.paged ? APC_LEVEL : DISPATCH_LEVEL;
  pool.type = type;
  pool.index = static_cast<UCHAR>(kind);
  pool.page_lock.Init(pool.paged);
  InitializeListHead(&pool.free_pages);
  pool.arenas = &g_arenas[pool.index * g_arena_count];
  for (ULONG i = 0; i < g_arena_count; ++i) {
    Arena& arena = pool.arenas[i];
    arena.lock.Init(pool.paged);
    arena.blocks.Init(static_cast<uint8_t>(&arena - g_arenas + 1), pool.paged);
    arena.pool = &pool;
  }
  pool.descriptor() = {static_cast<uint32_t>(type), pool.index, 0, 0, region.pages(), region.base(), 0};
}

UCHAR* AllocatePageMap(const mm::VaRegion& region) {
  const PFN_NUMBER pages = MmAllocateContiguousPages(mm::PagesFor(region.pages()));
  return pages == mm::kNoPage ? nullptr : static_cast<UCHAR*>(mm::PageAddress(pages));
}

bool InitTagTables(ULONG processors) {
  for (ULONG i = 0; i < processors; ++i) {
    const PFN_NUMBER pages =
        MmAllocateContiguousPages(mm::PagesFor(kTagEntries * sizeof(POOL_TRACKER_TABLE)));
    if (pages == mm::kNoPage) return false;
    ExPoolTagTables[i] = static_cast<PPOOL_TRACKER_TABLE>(mm::PageAddress(pages));
    if (i == 0) {
      g_tags.Init(ExPoolTagTables[0], kTagEntries);
    } else {
      g_tags.AddProcessor(ExPoolTagTables[i]);
    }
  }
  PoolTrackTable = ExPoolTagTables[0];
  PoolTrackTableSize = kTagEntries;
  PoolTrackTableMask = kTagEntries - 1;
  return true;
}

void Zero(PVOID block, SIZE_T bytes) {
  PVOID at = block;
  __asm__ volatile("rep stosb" : "+D"(at), "+c"(bytes) : "a"(0) : "memory");
}

// A block of the current processor's arena; 0 without memory, or with a finding.
PVOID AllocateFromArena(Pool& pool, SIZE_T bytes, const BlockLabel& label, bool cache_aligned,
                        PoolFinding* finding) {
  Arena& arena = pool.arenas[KeCurrentProcessor() % g_arena_count];
  for (;;) {
    {
      PoolGuard guard(arena.lock);
      PVOID block = arena.blocks.Allocate(bytes, label, cache_aligned, finding);
      if (block != nullptr || *finding) return block;
    }
    const ULONG64 page = TakeBlockPage(pool);
    if (page == 0) return nullptr;
    PoolGuard guard(arena.lock);
    arena.blocks.AddPage(reinterpret_cast<PVOID>(page));
    __atomic_store_n(&pool.page_map[(page - pool.region->base()) / kPageSize],
                     static_cast<UCHAR>(&arena - g_arenas + 1), __ATOMIC_RELEASE);
  }
}

PVOID AllocateBlock(const PoolRequest& request, Pool& pool, SIZE_T bytes, PEPROCESS process) {
  const BlockLabel label = {request.tag, request.caller, process != nullptr ? kPoolQuota : uint8_t{0}};
  PoolFinding finding;
  PVOID block = nullptr;
  if (bytes <= kLargestCached && !request.cache_aligned) {
    block = TakeCached(pool, BlockPool::UnitsFor(bytes), &finding);
    if (finding) StopOnDamageInline(finding, block);
    if (block != nullptr) BlockPool::Relabel(block, bytes, label);
  }
  if (block == nullptr) block = AllocateFromArena(pool, bytes, label, request.cache_aligned, &finding);
  if (finding) StopOnDamageInline(finding, static_cast<const POOL_HEADER*>(finding.where) + 1);
  if (block == nullptr) return nullptr;
  g_tags.CountAllocation(KeCurrentProcessor(), request.tag, pool.paged,
                         BlockPool::PayloadOf(block) + kPoolUnit);
  if (request.zero == PoolZero::kYes) Zero(block, request.bytes);
  if (process != nullptr) {
    auto* billed = reinterpret_cast<ULONG64*>(static_cast<PUCHAR>(block) + bytes - kQuotaBytes);
    *billed = Va(process) ^ ExpPoolCookie ^ Va(block);
  }
  return block;
}

// The process that pays for a block; bug check when the word was overwritten.
PEPROCESS BilledProcess(const void* block) {
  const auto* end = static_cast<const UCHAR*>(block) + BlockPool::RequestedOf(block);
  const ULONG64 word = *reinterpret_cast<const ULONG64*>(end - kQuotaBytes);
  const ULONG64 process = word ^ ExpPoolCookie ^ Va(block);
  const bool plausible = mm::IsSystemAddress(process) && mm::WalkTables(process).valid &&
                         reinterpret_cast<PKPROCESS>(process)->Header.Type == kProcessObject;
  if (!plausible) {
    KeBugCheckEx(BAD_POOL_CALLER, kBadQuotaProcess, Va(block), BlockPool::HeaderOf(block)->PoolTag, process);
  }
  return reinterpret_cast<PEPROCESS>(process);
}

void FreeBlock(PVOID block, ULONG tag, const Arena& arena) {
  const Pool& pool = *arena.pool;
  PoolFinding finding = arena.blocks.CheckOwn(block);
  if (finding) StopOnDamageInline(finding, block);
  POOL_HEADER* header = BlockPool::HeaderOf(block);
  const ULONG block_tag = header->PoolTag;
  if (tag != 0 && tag != block_tag) KeBugCheckEx(BAD_POOL_CALLER, kWrongTag, Va(block), block_tag, tag);
  const ULONG64 units = header->BlockSize;
  PEPROCESS process = (header->PoolType & kPoolQuota) != 0 ? BilledProcess(block) : nullptr;
  const SIZE_T charged = BlockPool::RequestedOf(block) - (process != nullptr ? kQuotaBytes : 0);
  if (!BlockPool::ClaimForFree(block))
    StopOnDamageInline({PoolError::kAlreadyFree, header, header->Ulong1}, block);
  g_tags.CountFree(KeCurrentProcessor(), block_tag, pool.paged, units * kPoolUnit);
  if (process != nullptr) {
    ReturnQuota(process, pool.paged, charged);
    ObDereferenceObjectDeferDelete(process);
  }
  if ((units - 1) * kPoolUnit <= kLargestCached) {
    KeepCached(pool, block, units);
  } else {
    ReleaseBlock(block);
  }
}

// How much memory must be left for an allocation that is not important.
bool EnoughFor(EX_POOL_PRIORITY priority, ULONG64 pages) {
  const ULONG64 left = MmAvailablePages;
  if (priority >= HighPoolPriority) return true;
  const ULONG64 reserve =
      priority >= NormalPoolPriority ? MmNumberOfPhysicalPages / 64 : MmNumberOfPhysicalPages / 16;
  return left >= pages + reserve;
}

PVOID AllocateCommon(const PoolRequest& request, Pool& pool, PEPROCESS process) {
  const SIZE_T bytes = request.bytes + (process != nullptr ? kQuotaBytes : 0);
  return bytes > kLargestBlock ? AllocateBig(request, pool, process)
                               : AllocateBlock(request, pool, bytes, process);
}

Pool* FindPoolOfAddress(ULONG64 va) {
  if (g_pools[EXP_POOL_NONPAGED_NX].region->Contains(va)) return &g_pools[EXP_POOL_NONPAGED_NX];
  return g_pools[EXP_POOL_PAGED].region->Contains(va) ? &g_pools[EXP_POOL_PAGED] : nullptr;
}

void CheckFreeIrql(const Pool& pool, PVOID block) {
  const KIRQL irql = KeGetCurrentIrql();
  if (irql > pool.highest_irql) KeBugCheckEx(BAD_POOL_CALLER, kBadFreeIrql, irql, pool.type, Va(block));
}

}  // namespace

bool InitPools() {
  const boot::LoaderBlock* block = KeLoaderBlock;
  const ULONG processors = block->processors < 1 ? 1 : block->processors > 64 ? 64 : block->processors;
  ExpPoolCookie = block->random_seed[2] | 1;
  g_arena_count = processors < kMaxArenas ? processors : kMaxArenas;
  ExpPoolPageMap[0] = AllocatePageMap(mm::g_nonpaged_pool_region);
  ExpPoolPageMap[1] = AllocatePageMap(mm::g_paged_pool_region);
  if (ExpPoolPageMap[0] == nullptr || ExpPoolPageMap[1] == nullptr) return false;
  InitPool(PoolKind::kNonPagedNx, mm::g_nonpaged_pool_region, ExpPoolPageMap[0], mm::Protection::kReadWrite,
           NonPagedPoolNx);
  InitPool(PoolKind::kNonPagedExecute, mm::g_nonpaged_pool_region, ExpPoolPageMap[0],
           mm::Protection::kExecuteReadWrite, NonPagedPool);
  InitPool(PoolKind::kPaged, mm::g_paged_pool_region, ExpPoolPageMap[1], mm::Protection::kReadWrite,
           PagedPool);
  return InitTagTables(processors) && InitCaches(processors) && InitBigPages() && InitSpecialPool();
}

bool ReadTag(ULONG index, POOL_TRACKER_TABLE* sum) {
  return g_tags.Read(index, sum);
}

SIZE_T PoolBlockSize(PVOID block, bool* charged) {
  const ULONG64 va = Va(block);
  *charged = false;
  if (MmClassifySpecialPoolAddress(block) != MmNotSpecialPool) return MmSpecialPoolBlockSize(block);
  if (va % kPageSize == 0) return BigBlockSize(block, charged);
  Arena* arena = ArenaOfBlock(va);
  if (arena == nullptr) return 0;
  PoolGuard guard(arena->lock);
  if (arena->blocks.Check(block)) return 0;
  *charged = (BlockPool::HeaderOf(block)->PoolType & kPoolQuota) != 0;
  return BlockPool::RequestedOf(block) - (*charged ? kQuotaBytes : 0);
}

PoolAddress ClassifyPoolAddress(PVOID address) {
  const ULONG64 va = Va(address);
  if (const Pool* pool = FindPoolOfAddress(va))
    return pool->paged ? PoolAddress::kPaged : PoolAddress::kNonPaged;
  if (va < MmSpecialPoolStart || va >= MmSpecialPoolEnd) return PoolAddress::kNone;
  const ULONG64 slot = (va - MmSpecialPoolStart) / (2 * kPageSize);
  return slot >= MiSpecialPoolPagedSlots ? PoolAddress::kPaged : PoolAddress::kNonPaged;
}

void DrainPoolCaches() {
  const bool paged_too = KeGetCurrentIrql() <= APC_LEVEL;
  DrainCaches(paged_too);
  for (Pool& pool : g_pools) {
    if (!pool.paged || paged_too) DrainBlockPages(pool);
  }
}

void DrainPools() {
  DrainPoolCaches();
  DrainSpecialPool();
  mm::DrainRetired();
}

}  // namespace ex

extern "C" {

PVOID ExAllocateHeapPool(const ex::PoolRequest* Request, NTSTATUS* Status) {
  using namespace ex;
  const PoolRequest& request = *Request;
  Pool& pool = PoolOf(request.kind);
  const KIRQL irql = KeGetCurrentIrql();
  const bool special =
      request.special != SpecialPool::kNo || (MmSpecialPoolTag != 0 && request.tag == MmSpecialPoolTag);
  if (irql > pool.highest_irql) {
    if (special) KeBugCheckEx(kSpecialPoolCorruption, irql, pool.type, request.bytes, kSpecialAllocationIrql);
    KeBugCheckEx(BAD_POOL_CALLER, kBadAllocationIrql, irql, pool.type, request.bytes);
  }
  *Status = STATUS_INSUFFICIENT_RESOURCES;
  if (FailOnPurpose(request) || !EnoughFor(request.priority, mm::PagesFor(request.bytes))) return nullptr;
  if (special) {
    if (PVOID block = MiAllocateSpecialPool(&request)) return block;
  }
  PEPROCESS process = nullptr;
  if (request.quota) {
    process = PsGetCurrentProcess();
    if (!ChargeQuota(process, pool.paged, request.bytes)) {
      *Status = STATUS_QUOTA_EXCEEDED;
      return nullptr;
    }
    ObfReferenceObject(process);
  }
  PVOID block = AllocateCommon(request, pool, process);
  if (block == nullptr && request.bytes < MmNumberOfPhysicalPages * kPageSize) {
    DrainPools();
    block = AllocateCommon(request, pool, process);
  }
  if (block == nullptr && process != nullptr) {
    ReturnQuota(process, pool.paged, request.bytes);
    ObDereferenceObjectDeferDelete(process);
  }
  return block;
}

VOID ExFreeHeapPool(PVOID P, ULONG Tag, PVOID Caller) {
  using namespace ex;
  const ULONG64 va = Va(P);
  Pool* pool = FindPoolOfAddress(va);
  if (pool == nullptr) {
    if (va >= MmSpecialPoolStart && va < MmSpecialPoolEnd) return MmFreeSpecialPool(P, Tag, Caller);
    if (!mm::IsSystemAddress(va)) KeBugCheckEx(BAD_POOL_CALLER, kUserAddress, va, Va(MmSystemRangeStart), 0);
    KeBugCheckEx(BAD_POOL_CALLER, kNeverInPool, va, 0, 0);
  }
  CheckFreeIrql(*pool, P);
  if (va % kPageSize == 0) {
    FreeBig(P, Tag, *pool);
    return;
  }
  const Arena* arena = ArenaOfBlock(va);
  if (arena == nullptr || va % kPoolUnit != 0) KeBugCheckEx(BAD_POOL_CALLER, kNotAllocated, va, 0, 0);
  FreeBlock(P, Tag, *arena);
}

}  // extern "C"
