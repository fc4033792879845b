// Blocks inside pool pages: headers, free lists by size, coalescing, checks. No locking and no page
// allocation of its own; also compiled and tested on the host.
//
// A page is a row of blocks; each begins with a _POOL_HEADER that knows its own size and its predecessor's in
// units of 16 bytes. Free blocks of two units or more are on the free list of their size, through a list
// entry in their payload.
#pragma once

#include "ex/pool_types.h"

namespace ex {

inline constexpr uint64_t kPoolPage = 4096;
inline constexpr uint64_t kPoolUnit = sizeof(POOL_HEADER);
inline constexpr uint64_t kUnitsPerPage = kPoolPage / kPoolUnit;
// The largest payload that a block holds; more takes whole pages.
inline constexpr uint64_t kLargestBlock = kPoolPage - 2 * kPoolUnit;
inline constexpr uint8_t kPoolInUse = POOL_HEADER_IN_USE;
inline constexpr uint8_t kPoolPaged = POOL_HEADER_PAGED;
inline constexpr uint8_t kPoolQuota = POOL_HEADER_QUOTA;
inline constexpr uint8_t kPoolCached = POOL_HEADER_CACHED;
// What stands between the bytes that were asked for and the block's end.
inline constexpr uint8_t kGuardByte = 0xB6;

enum class PoolError : uint8_t {
  kNone,
  kAlreadyFree,      // the header says free
  kNotABlock,        // no block begins there
  kBadHeader,        // the block's own header was overwritten
  kOverrun,          // the guard bytes behind the block were
  kNeighbourSize,    // the next block's header disagrees about the size
  kPreviousSize,     // the previous block's header disagrees
  kFreeHeader,       // a free block's header was overwritten
  kFreeListLinks,    // a free block's list entry is damaged
  kWrittenAfterFree  // a cached block's contents changed
};

// What was found, and where.
struct PoolFinding {
  PoolError error = PoolError::kNone;
  const void* where = nullptr;
  uint64_t value = 0;
  explicit operator bool() const { return error != PoolError::kNone; }
};

// What a new block's header says.
struct BlockLabel {
  uint32_t tag;
  const void* caller;
  uint8_t flags;  // POOL_HEADER_QUOTA
};

class BlockPool {
 public:
  void Init(uint8_t index, bool paged);

  // From the free lists; nullptr when no block is large enough (then: AddPage, and again), or with a finding.
  // size <= kLargestBlock. cache_aligned: the payload begins at a multiple of 64.
  void* Allocate(uint64_t size, const BlockLabel& label, bool cache_aligned, PoolFinding* finding);

  // Takes over a page (page aligned, kPoolPage bytes) as one free block.
  void AddPage(void* page);

  // Free pages that the pool still owns.
  uint64_t whole_pages() const { return whole_pages_; }

  // Checks and frees a block. *empty_page: the page that became free by this and no longer belongs to the
  // pool, or nullptr.
  PoolFinding Free(void* block, void** empty_page);

  // Looks at the block and its neighbours without changing anything. Under the pool's lock.
  PoolFinding Check(const void* block) const;
  // What can be seen without the lock, by the block's owner: its header, the bytes behind it, the beginning
  // of the next header.
  PoolFinding CheckOwn(const void* block) const;
  // The headers on both sides agree about the block's place. Under the pool's lock.
  PoolFinding CheckNeighbours(const void* block) const;

  // A second life without passing through the free lists, by the owner of a cached block.
  static void Relabel(void* block, uint64_t size, const BlockLabel& label);
  static uint64_t UnitsFor(uint64_t size) {
    const uint64_t units = (size + 2 * kPoolUnit - 1) / kPoolUnit;
    return units < 2 ? 2 : units;
  }
  // Claims an in-use block for its way out: false when another free was first.
  static bool ClaimForFree(void* block) {
    return (__atomic_fetch_or(&HeaderOf(block)->PoolType, kPoolCached, __ATOMIC_ACQ_REL) & kPoolCached) == 0;
  }
  // The pattern in a cached block's first bytes, and its check.
  static void WriteFreedPattern(void* block);
  static PoolFinding CheckFreedPattern(const void* block);

  static POOL_HEADER* HeaderOf(const void* block) {
    return reinterpret_cast<POOL_HEADER*>(reinterpret_cast<uintptr_t>(block) - kPoolUnit);
  }
  // Bytes from the payload's start to the block's end.
  static uint64_t PayloadOf(const void* block) { return (HeaderOf(block)->BlockSize - 1u) * kPoolUnit; }
  // Bytes that were asked for.
  static uint64_t RequestedOf(const void* block) { return PayloadOf(block) - HeaderOf(block)->UnusedBytes; }
  static void* CallerOf(const POOL_HEADER* header) {
    return header->CallerAddress == 0 ? nullptr
                                      : reinterpret_cast<void*>(kCallerBase | header->CallerAddress);
  }
  // In use by its owner: not free and not in a cache.
  static bool IsLive(const POOL_HEADER* header) {
    return (__atomic_load_n(&header->PoolType, __ATOMIC_ACQUIRE) & (kPoolInUse | kPoolCached)) == kPoolInUse;
  }
  // The page's blocks are in order up to `block`, and it is one of them.
  static bool IsBlockOfPage(const void* block);
  // The page's headers, one by one; *before: the last good one in front of a finding. Under the pool's lock,
  // or with nobody else running. Touches nothing outside the page, whatever is in it.
  PoolFinding CheckPage(const void* page, const POOL_HEADER** before = nullptr) const;
  // Calls visit(header, units) for each block of a page that CheckPage found whole.
  template <typename Visit>
  static void ForEachBlock(const void* page, Visit visit) {
    const auto* header = static_cast<const POOL_HEADER*>(page);
    for (uint64_t unit = 0; unit < kUnitsPerPage;) {
      const uint64_t units = UnitsAt(header);
      visit(header, units);
      unit += units;
      header += units;
    }
  }

  // Calls visit(header, payload) for each block in use by its owner; false if the page's headers are damaged.
  template <typename Visit>
  static bool ForEachInUse(void* page, Visit visit) {
    auto* bytes = static_cast<uint8_t*>(page);
    for (uint64_t unit = 0; unit < kUnitsPerPage;) {
      auto* header = reinterpret_cast<POOL_HEADER*>(bytes + unit * kPoolUnit);
      if (header->BlockSize == 0) {
        // A page that is one free block has no room for its size in eight bits.
        return unit == 0 && (header->PoolType & kPoolInUse) == 0;
      }
      if (header->BlockSize > kUnitsPerPage - unit) return false;
      if (IsLive(header)) visit(header, static_cast<void*>(header + 1));
      unit += header->BlockSize;
    }
    return true;
  }

 private:
  struct FreeEntry {
    FreeEntry* next = nullptr;
    FreeEntry* previous = nullptr;
  };
  static constexpr uint64_t kLists = kUnitsPerPage + 1;  // by units; list 256: whole pages
  static constexpr uint64_t kCallerBase = 0xFFFFF80000000000;

  static uint64_t UnitsAt(const POOL_HEADER* header);
  static uint16_t CookieOf(const POOL_HEADER* header);
  static void SetLabel(POOL_HEADER* header, uint64_t size, const BlockLabel& label);
  void PushFree(POOL_HEADER* header, uint64_t units);
  PoolFinding Unlink(POOL_HEADER* header, uint64_t units);
  void SetPrevious(POOL_HEADER* header, uint64_t units);
  POOL_HEADER* TakeFirst(uint64_t units, uint64_t* found, PoolFinding* finding);
  void Split(POOL_HEADER* header, uint64_t units, uint64_t total);
  PoolFinding Merge(POOL_HEADER** header, uint64_t* units);

  FreeEntry lists_[kLists] = {};
  uint64_t non_empty_[(kLists + 63) / 64] = {};
  uint64_t whole_pages_ = 0;
  uint8_t index_ = 0;
  uint8_t type_ = 0;
};

}  // namespace ex
