// The pools' resident tables: statistics by tag, and allocations of whole pages by address. Windows's type
// names. No locking (the big-page table) or lock-free (the tag table); also compiled and tested on the host.
#pragma once

#include <stdint.h>

extern "C" {
typedef struct _POOL_TRACKER_TABLE {
  int32_t Key;  // tag; 0: free entry
  uint64_t NonPagedBytes;
  uint64_t NonPagedAllocs;
  uint64_t NonPagedFrees;
  uint64_t PagedBytes;
  uint64_t PagedAllocs;
  uint64_t PagedFrees;
} POOL_TRACKER_TABLE, *PPOOL_TRACKER_TABLE;

typedef struct _POOL_TRACKER_BIG_PAGES {
  uint64_t Va;  // 0: never used; 1: free again
  uint32_t Key;
  uint32_t Pattern : 8;
  uint32_t PoolType : 12;
  uint32_t SlushSize : 12;
  uint64_t NumberOfBytes;
  void* CallerAddress;  // ours: who allocated it
} POOL_TRACKER_BIG_PAGES, *PPOOL_TRACKER_BIG_PAGES;
}
static_assert(sizeof(POOL_TRACKER_TABLE) == 56);

namespace ex {

// Open addressing over `size` entries, a power of two; the last entry takes all tags that found no place.
class TagTable {
 public:
  void Init(POOL_TRACKER_TABLE* entries, uint32_t size) {
    entries_ = entries;
    size_ = size;
  }
  void CountAllocation(uint32_t tag, bool paged, uint64_t bytes);
  void CountFree(uint32_t tag, bool paged, uint64_t bytes);
  const POOL_TRACKER_TABLE* FindOrNull(uint32_t tag) const;

 private:
  POOL_TRACKER_TABLE* EntryFor(uint32_t tag);

  POOL_TRACKER_TABLE* entries_ = nullptr;
  uint32_t size_ = 0;
};

// Open addressing by address; the owner grows it by moving to a larger array when NeedsGrowth.
class BigPageTable {
 public:
  // `entries` are zeroed; capacity is a power of two.
  void Init(POOL_TRACKER_BIG_PAGES* entries, uint64_t capacity);
  // Copies everything to a larger, zeroed array.
  void MoveTo(POOL_TRACKER_BIG_PAGES* entries, uint64_t capacity);
  bool NeedsGrowth() const { return (occupied_ + 1) * 4 > capacity_ * 3; }
  bool IsFull() const { return occupied_ + 1 >= capacity_; }
  // The table is not full.
  void Insert(const POOL_TRACKER_BIG_PAGES& entry);
  // False: no allocation begins there.
  bool Remove(uint64_t va, POOL_TRACKER_BIG_PAGES* removed);
  const POOL_TRACKER_BIG_PAGES* FindOrNull(uint64_t va) const;
  POOL_TRACKER_BIG_PAGES* entries() const { return entries_; }
  uint64_t capacity() const { return capacity_; }
  uint64_t live() const { return live_; }

  static bool IsLive(const POOL_TRACKER_BIG_PAGES& entry) { return entry.Va > kTombstone; }

 private:
  static constexpr uint64_t kTombstone = 1;
  POOL_TRACKER_BIG_PAGES* Locate(uint64_t va) const;
  uint64_t Slot(uint64_t va) const { return (va >> 12) * 0x9E3779B97F4A7C15 >> 32 & (capacity_ - 1); }

  POOL_TRACKER_BIG_PAGES* entries_ = nullptr;
  uint64_t capacity_ = 0;
  uint64_t occupied_ = 0;  // live entries and tombstones
  uint64_t live_ = 0;
};

}  // namespace ex
