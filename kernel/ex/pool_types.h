// What a debugger reads of the pools: NT's type and field names (where NT has the thing), ours where it has
// not. Also compiled on the host.
#pragma once

#include <stddef.h>
#include <stdint.h>

extern "C" {

// Before every block of a block page. Bytes, not bit fields: neighbours change PreviousSize and PoolType
// without a common lock.
typedef struct _POOL_HEADER {
  union {
    struct {
      uint8_t PreviousSize;  // units of 16 bytes; 0: first of its page
      uint8_t PoolIndex;     // arena + 1
      uint8_t BlockSize;     // units; 0: a whole free page
      uint8_t PoolType;      // POOL_HEADER_*
    };
    uint32_t Ulong1;
  };
  uint32_t PoolTag;
  union {
    void* ProcessBilled;  // NT's name for the word; here it holds:
    struct {
      uint64_t CallerAddress : 43;  // who allocated: or-ed to 0xFFFFF800`00000000; 0 = unknown
      uint64_t UnusedBytes : 5;     // at the block's end, filled with the guard pattern
      uint64_t HeaderCookie : 16;   // check sum over address, size, index, tag and the fields above
    };
    struct {
      uint16_t AllocatorBackTraceIndex;
      uint16_t PoolTagHash;
    };
  };
} POOL_HEADER, *PPOOL_HEADER;

#define POOL_HEADER_PAGED 0x01
#define POOL_HEADER_IN_USE 0x02
#define POOL_HEADER_QUOTA 0x08   // the payload's last 8 bytes name the process
#define POOL_HEADER_CACHED 0x40  // freed, in a processor's cache (IN_USE stays set)

// Statistics of a tag: one table a processor (ExPoolTagTables[n]), all with the same Key at the same index;
// PoolTrackTable is the first. Sums over all processors are exact, one table alone may be "negative".
typedef struct _POOL_TRACKER_TABLE {
  int32_t Key;  // tag; 0: free entry
  uint64_t NonPagedBytes;
  uint64_t NonPagedAllocs;
  uint64_t NonPagedFrees;
  uint64_t PagedBytes;
  uint64_t PagedAllocs;
  uint64_t PagedFrees;
} POOL_TRACKER_TABLE, *PPOOL_TRACKER_TABLE;

// An allocation of whole pages: PoolBigPageTable[PoolBigPageTableSize].
typedef struct _POOL_TRACKER_BIG_PAGES {
  uint64_t Va;  // 0: never used; 1: free again
  uint32_t Key;
  uint32_t Pattern : 8;
  uint32_t PoolType : 12;
  uint32_t SlushSize : 12;  // bytes after NumberOfBytes in the last page, filled with the guard pattern
  uint64_t NumberOfBytes;
  void* ProcessBilled;  // quota, or 0
  void* CallerAddress;  // ours: who allocated it
} POOL_TRACKER_BIG_PAGES, *PPOOL_TRACKER_BIG_PAGES;

// Totals of a pool: ExpPoolDescriptors[EXP_POOLS] in the order of EXP_POOL_*.
typedef struct _POOL_DESCRIPTOR {
  uint32_t PoolType;  // POOL_TYPE
  uint32_t PoolIndex;
  uint64_t TotalPages;     // pages of blocks
  uint64_t TotalBigPages;  // pages of allocations of their own
  uint64_t Limit;          // pages of addresses
  uint64_t Base;           // first address
  uint64_t FreePages;      // empty block pages that are kept for the next blocks
} POOL_DESCRIPTOR, *PPOOL_DESCRIPTOR;
#define EXP_POOL_NONPAGED_NX 0
#define EXP_POOL_NONPAGED_EXECUTE 1
#define EXP_POOL_PAGED 2
#define EXP_POOLS 3

// A processor's stock of freed small blocks of one pool and one size: ExpPoolCaches[processor].Caches[pool]
// [units - 2].
#define EXP_POOL_CACHE_CLASSES 32
#define EXP_POOL_CACHE_DEPTH 32
typedef struct _EXP_POOL_CACHE {
  volatile uint32_t Lock;
  uint16_t Count;
  uint16_t Depth;
  uint32_t Hits;
  uint32_t Misses;
  void* Blocks[EXP_POOL_CACHE_DEPTH];
} EXP_POOL_CACHE, *PEXP_POOL_CACHE;
typedef struct _EXP_POOL_CACHES {
  EXP_POOL_CACHE Caches[EXP_POOLS][EXP_POOL_CACHE_CLASSES];
} EXP_POOL_CACHES, *PEXP_POOL_CACHES;

// Special pool: slot n is the page at MmSpecialPoolStart + n * 0x2000 and the guard page behind it;
// MiSpecialPoolSlots[n] describes it. Slots from MiSpecialPoolPagedSlots on are paged pool.
typedef struct _MI_SPECIAL_POOL_SLOT {
  uint8_t State;     // MI_SPECIAL_POOL_*
  uint8_t PoolType;  // POOL_TYPE
  uint8_t Underrun;  // the block begins at its page's start, the guard page is the one in front
  uint8_t FillByte;  // what the page holds around the block
  uint32_t Tag;
  uint32_t NumberOfBytes;
  uint32_t Offset;        // of the block in its page
  void* AllocatorCaller;  // return address of the allocation
  void* FreeCaller;       // and of the free
  void* AllocatorThread;
  void* FreeThread;
} MI_SPECIAL_POOL_SLOT, *PMI_SPECIAL_POOL_SLOT;
#define MI_SPECIAL_POOL_NEVER_USED 0
#define MI_SPECIAL_POOL_ALLOCATED 1
#define MI_SPECIAL_POOL_FREED 2

// What the check of the pools at a crash found: ExpPoolDamage[ExpPoolCheck.Found].
typedef struct _EXP_POOL_DAMAGE {
  uint32_t Kind;   // EXP_POOL_DAMAGE_*
  uint32_t Tag;    // of Block
  void* Where;     // the first bytes that are wrong
  void* Block;     // the block that was overrun, lies in front of the damage, or was written to when free
  uint64_t Bytes;  // that were asked for
  void* Caller;    // who allocated it; 0: not known
  uint64_t Value;  // what stands at Where
} EXP_POOL_DAMAGE, *PEXP_POOL_DAMAGE;
#define EXP_POOL_DAMAGE_HEADER 1      // Where is a block's header, overwritten or in contradiction to Block's
#define EXP_POOL_DAMAGE_BEHIND 2      // the guard bytes behind Block
#define EXP_POOL_DAMAGE_FREE_LINKS 3  // a free block's list entry
#define EXP_POOL_DAMAGE_FREED 4       // Block was written to after its free
#define EXP_POOL_DAMAGES 16

typedef struct _EXP_POOL_CHECK {
  uint32_t State;  // EXP_POOL_CHECK_*
  uint32_t Found;
  uint64_t Pages;    // of blocks that were looked at
  uint64_t LeftOut;  // not resident, being changed by a processor when the machine stopped, or too many
} EXP_POOL_CHECK, *PEXP_POOL_CHECK;
#define EXP_POOL_CHECK_NEVER 0
#define EXP_POOL_CHECK_BEGUN 1  // and came to no end: the damage is such that it crashed itself
#define EXP_POOL_CHECK_DONE 2

extern PPOOL_TRACKER_TABLE PoolTrackTable;  // = ExPoolTagTables[0]
extern PPOOL_TRACKER_TABLE ExPoolTagTables[64];
extern uint64_t PoolTrackTableSize;  // entries
extern uint64_t PoolTrackTableMask;
extern PPOOL_TRACKER_BIG_PAGES PoolBigPageTable;
extern uint64_t PoolBigPageTableSize;
extern POOL_DESCRIPTOR ExpPoolDescriptors[EXP_POOLS];
extern PEXP_POOL_CACHES ExpPoolCaches;
extern uint8_t* ExpPoolPageMap[2];  // a byte a page of nonpaged [0] and paged [1] pool: arena + 1, 0 = none
extern uint64_t ExpPoolCookie;
extern EXP_POOL_DAMAGE ExpPoolDamage[EXP_POOL_DAMAGES];
extern EXP_POOL_CHECK ExpPoolCheck;
extern uint64_t MmSpecialPoolStart, MmSpecialPoolEnd;
extern PMI_SPECIAL_POOL_SLOT MiSpecialPoolSlots;
extern uint64_t MiSpecialPoolSlotCount, MiSpecialPoolPagedSlots;
}

static_assert(sizeof(POOL_HEADER) == 16 && offsetof(POOL_HEADER, PoolTag) == 4);
static_assert(sizeof(POOL_TRACKER_TABLE) == 56);
