// The pools, below their exports. What a debugger reads: pool_types.h.
#pragma once

#include "ex/pool_types.h"
#include "nt/ntos.h"

namespace ex {

enum class PoolKind : UCHAR {
  kNonPagedNx = EXP_POOL_NONPAGED_NX,
  kNonPagedExecute = EXP_POOL_NONPAGED_EXECUTE,
  kPaged = EXP_POOL_PAGED
};
enum class PoolZero : bool { kNo, kYes };
// Special pool: not wanted; where the tag or the caller wants it; and which end is guarded.
enum class SpecialPool : UCHAR { kNo, kOverrun, kUnderrun };

struct PoolRequest {
  PoolKind kind;
  SIZE_T bytes;
  ULONG tag;
  PVOID caller;
  bool cache_aligned = false;
  PoolZero zero = PoolZero::kNo;
  bool quota = false;  // charged to the current process
  EX_POOL_PRIORITY priority = HighPoolPriority;
  SpecialPool special = SpecialPool::kNo;
};

// From MmInitSystem. False without memory.
bool InitPools();

// Bytes that the caller may use, 0 for an address that begins no block. *charged: to a process's quota.
SIZE_T PoolBlockSize(PVOID block, bool* charged);

enum class PoolAddress : UCHAR { kNone, kNonPaged, kPaged };
PoolAddress ClassifyPoolAddress(PVOID address);

// Gives everything that is kept for later back to mm: processors' caches, empty pages.
// IRQL <= APC_LEVEL: all pools; DISPATCH_LEVEL: the nonpaged ones.
void DrainPools();
// The same but for special pool, which keeps what was freed in order to catch its use.
void DrainPoolCaches();

// Looks at every header of every block page; bug checks at the first damaged one. Returns the pages looked
// at. IRQL <= APC_LEVEL.
ULONG64 CheckPools();

// Statistics of the tag table's entry `index`; false at a free one. index < PoolTrackTableSize.
bool ReadTag(ULONG index, POOL_TRACKER_TABLE* sum);

// The allocation of the current pool block of this tag fails on purpose; see pool_faults.cpp.
bool FailOnPurpose(const PoolRequest& request);

// Charges and returns quota of a process. kind: 0 nonpaged, 1 paged. False: over the limit.
bool ChargeQuota(PEPROCESS process, ULONG kind, SIZE_T bytes);
void ReturnQuota(PEPROCESS process, ULONG kind, SIZE_T bytes);

}  // namespace ex

extern "C" {
// NT's names for what all allocation and freeing comes down to. 0 without memory (or over quota, with *status
// saying so). Bug checks 0xC2 (8, IRQL, type, size) above the pool's IRQL.
PVOID ExAllocateHeapPool(const ex::PoolRequest* Request, NTSTATUS* Status);
// Tag 0: not checked. Bug checks 0x19, 0xC2 and 0x13A as documented there.
VOID ExFreeHeapPool(PVOID P, ULONG Tag, PVOID Caller);

// The bodies of ExAllocatePoolWithTagPriority, ExAllocatePoolWithQuotaTag and ExAllocatePool3 for a caller of
// one's choice.
PVOID ExpAllocatePoolByType(POOL_TYPE type, SIZE_T bytes, ULONG tag, PVOID caller, EX_POOL_PRIORITY priority);
PVOID ExpAllocatePoolByQuota(POOL_TYPE type, SIZE_T bytes, ULONG tag, PVOID caller);
PVOID ExpAllocatePoolByFlags(POOL_FLAGS flags, SIZE_T bytes, ULONG tag, PVOID caller,
                             PCPOOL_EXTENDED_PARAMETER parameters, ULONG count);

// Special pool (special_pool.cpp). 0 when it has no room or the size does not fit: take the common pool.
PVOID MiAllocateSpecialPool(const ex::PoolRequest* Request);
VOID MmFreeSpecialPool(PVOID P, ULONG Tag, PVOID Caller);
SIZE_T MmSpecialPoolBlockSize(PVOID Address);
// All allocations of this tag come from special pool; 0: none.
extern ULONG MmSpecialPoolTag;
}
