// Blocks inside pool pages: headers, free lists by size, coalescing, checks. No locking and no page
// allocation of its own; also compiled and tested on the host.
//
// A page is a row of blocks; each begins with a _POOL_HEADER that knows its own size and its predecessor's in
// units of 16 bytes. Free blocks of two units or more are on the free list of their size, through a list
// entry in their payload.
#pragma once

#include <stddef.h>
#include <stdint.h>

extern "C" {
typedef struct _POOL_HEADER {
  union {
    struct {
      uint16_t PreviousSize : 8;
      uint16_t PoolIndex : 8;
      uint16_t BlockSize : 8;
      uint16_t PoolType : 8;
    };
    uint32_t Ulong1;
  };
  uint32_t PoolTag;
  union {
    void* ProcessBilled;
    void* CallerAddress;  // who allocated the block: ours, in place of the unused quota process
    struct {
      uint16_t AllocatorBackTraceIndex;
      uint16_t PoolTagHash;
    };
  };
} POOL_HEADER, *PPOOL_HEADER;
}
static_assert(sizeof(POOL_HEADER) == 16 && offsetof(POOL_HEADER, PoolTag) == 4);

namespace ex {

inline constexpr uint64_t kPoolPage = 4096;
inline constexpr uint64_t kPoolUnit = sizeof(POOL_HEADER);
inline constexpr uint64_t kUnitsPerPage = kPoolPage / kPoolUnit;
// The largest payload that a block holds; more takes whole pages.
inline constexpr uint64_t kLargestBlock = kPoolPage - 2 * kPoolUnit;
// POOL_HEADER.PoolType as Windows writes it: in use, and bit 0 for paged pool.
inline constexpr uint8_t kPoolInUse = 2;
inline constexpr uint8_t kPoolPaged = 1;

enum class PoolError : uint8_t {
  kNone,
  kAlreadyFree,    // the header says free
  kBadHeader,      // sizes that cannot be
  kNeighbourSize,  // the next or previous block disagrees about the size
  kFreeListLinks,  // a free block's list entry is damaged
};

class BlockPool {
 public:
  void Init(uint8_t index, bool paged);

  // From the free lists; nullptr when no block is large enough (then: AddPage, and again). size <=
  // kLargestBlock. cache_aligned: the payload begins at a multiple of 64.
  void* Allocate(uint64_t size, uint32_t tag, void* caller, bool cache_aligned, PoolError* error);

  // Takes over a page (page aligned, kPoolPage bytes) as one free block.
  void AddPage(void* page);

  // Free pages that the pool still owns.
  uint64_t whole_pages() const { return whole_pages_; }

  // Checks and frees a block. *empty_page: the page that became free by this and no longer belongs to the
  // pool, or nullptr.
  PoolError Free(void* block, void** empty_page);

  // Looks at the block and its neighbours without changing anything.
  PoolError Check(const void* block) const;

  static POOL_HEADER* HeaderOf(const void* block) {
    return reinterpret_cast<POOL_HEADER*>(reinterpret_cast<uintptr_t>(block) - kPoolUnit);
  }
  // Payload bytes of a block in use.
  static uint64_t PayloadOf(const void* block) { return (HeaderOf(block)->BlockSize - 1u) * kPoolUnit; }

  // Calls visit(header, payload) for each block in use of a page; false if the page's headers are damaged.
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
      if ((header->PoolType & kPoolInUse) != 0) visit(header, static_cast<void*>(header + 1));
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

  static uint64_t UnitsAt(const POOL_HEADER* header);
  void PushFree(POOL_HEADER* header, uint64_t units);
  PoolError Unlink(POOL_HEADER* header, uint64_t units);
  void SetPrevious(POOL_HEADER* header, uint64_t units);
  POOL_HEADER* TakeFirst(uint64_t units, uint64_t* found, PoolError* error);
  void Split(POOL_HEADER* header, uint64_t units, uint64_t total);

  FreeEntry lists_[kLists] = {};
  uint64_t non_empty_[(kLists + 63) / 64] = {};
  uint64_t whole_pages_ = 0;
  uint8_t index_ = 0;
  uint8_t type_ = 0;
};

}  // namespace ex
