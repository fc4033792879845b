// The pools' resident tables: statistics by tag, and allocations of whole pages by address. No locking (the
// big-page table) or lock-free (the tag tables); also compiled and tested on the host.
#pragma once

#include "ex/pool_types.h"

namespace ex {

// Open addressing over `size` entries, a power of two; the last entry takes all tags that found no place. One
// table a processor, so that counting disturbs nobody; the first decides where a tag's entries are.
class TagTable {
 public:
  void Init(POOL_TRACKER_TABLE* first, uint32_t size) {
    tables_[0] = first;
    size_ = size;
    count_ = 1;
  }
  void AddProcessor(POOL_TRACKER_TABLE* table) { tables_[count_++] = table; }
  void CountAllocation(uint32_t processor, uint32_t tag, bool paged, uint64_t bytes);
  void CountFree(uint32_t processor, uint32_t tag, bool paged, uint64_t bytes);
  // Sums over the processors; false at an entry that is free.
  bool Read(uint32_t index, POOL_TRACKER_TABLE* sum) const;
  bool Find(uint32_t tag, POOL_TRACKER_TABLE* sum) const;
  uint32_t size() const { return size_; }

 private:
  static constexpr uint32_t kMaxTables = 64;
  uint32_t SlotFor(uint32_t tag);
  POOL_TRACKER_TABLE* EntryFor(uint32_t processor, uint32_t tag);

  POOL_TRACKER_TABLE* tables_[kMaxTables] = {};
  uint32_t size_ = 0;
  uint32_t count_ = 0;
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
  POOL_TRACKER_BIG_PAGES* FindOrNull(uint64_t va) const;
  POOL_TRACKER_BIG_PAGES* entries() const { return entries_; }
  uint64_t capacity() const { return capacity_; }
  uint64_t live() const { return live_; }

  static bool IsLive(const POOL_TRACKER_BIG_PAGES& entry) { return entry.Va > kTombstone; }

 private:
  static constexpr uint64_t kTombstone = 1;
  uint64_t Slot(uint64_t va) const { return (va >> 12) * 0x9E3779B97F4A7C15 >> 32 & (capacity_ - 1); }

  POOL_TRACKER_BIG_PAGES* entries_ = nullptr;
  uint64_t capacity_ = 0;
  uint64_t occupied_ = 0;  // live entries and tombstones
  uint64_t live_ = 0;
};

}  // namespace ex
