#include "ex/pool_tables.h"

namespace ex {
namespace {

void Add(uint64_t* counter, uint64_t value) {
  __atomic_fetch_add(counter, value, __ATOMIC_RELAXED);
}

}  // namespace

POOL_TRACKER_TABLE* TagTable::EntryFor(uint32_t tag) {
  const uint32_t last = size_ - 1;
  const auto key = static_cast<int32_t>(tag);
  for (uint32_t probe = 0, slot = tag * 0x9E3779B1u; probe < last; ++probe, ++slot) {
    POOL_TRACKER_TABLE* entry = &entries_[slot & last];
    if (entry == &entries_[last]) continue;
    int32_t expected = __atomic_load_n(&entry->Key, __ATOMIC_ACQUIRE);
    if (expected == key) return entry;
    if (expected != 0) continue;
    if (__atomic_compare_exchange_n(&entry->Key, &expected, key, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) ||
        expected == key) {
      return entry;
    }
  }
  return &entries_[last];
}

const POOL_TRACKER_TABLE* TagTable::FindOrNull(uint32_t tag) const {
  for (uint32_t i = 0; i < size_; ++i) {
    if (entries_[i].Key == static_cast<int32_t>(tag)) return &entries_[i];
  }
  return nullptr;
}

void TagTable::CountAllocation(uint32_t tag, bool paged, uint64_t bytes) {
  POOL_TRACKER_TABLE* entry = EntryFor(tag);
  Add(paged ? &entry->PagedBytes : &entry->NonPagedBytes, bytes);
  Add(paged ? &entry->PagedAllocs : &entry->NonPagedAllocs, 1);
}

void TagTable::CountFree(uint32_t tag, bool paged, uint64_t bytes) {
  POOL_TRACKER_TABLE* entry = EntryFor(tag);
  Add(paged ? &entry->PagedBytes : &entry->NonPagedBytes, 0 - bytes);
  Add(paged ? &entry->PagedFrees : &entry->NonPagedFrees, 1);
}

void BigPageTable::Init(POOL_TRACKER_BIG_PAGES* entries, uint64_t capacity) {
  entries_ = entries;
  capacity_ = capacity;
  occupied_ = 0;
  live_ = 0;
}

void BigPageTable::MoveTo(POOL_TRACKER_BIG_PAGES* entries, uint64_t capacity) {
  POOL_TRACKER_BIG_PAGES* old = entries_;
  const uint64_t old_capacity = capacity_;
  Init(entries, capacity);
  for (uint64_t i = 0; i < old_capacity; ++i) {
    if (IsLive(old[i])) Insert(old[i]);
  }
}

void BigPageTable::Insert(const POOL_TRACKER_BIG_PAGES& entry) {
  uint64_t slot = Slot(entry.Va);
  while (IsLive(entries_[slot])) slot = (slot + 1) & (capacity_ - 1);
  if (entries_[slot].Va == 0) ++occupied_;
  ++live_;
  entries_[slot] = entry;
}

POOL_TRACKER_BIG_PAGES* BigPageTable::Locate(uint64_t va) const {
  if (va <= kTombstone) return nullptr;
  for (uint64_t probe = 0, slot = Slot(va); probe < capacity_; ++probe, slot = (slot + 1) & (capacity_ - 1)) {
    if (entries_[slot].Va == va) return &entries_[slot];
    if (entries_[slot].Va == 0) return nullptr;
  }
  return nullptr;
}

const POOL_TRACKER_BIG_PAGES* BigPageTable::FindOrNull(uint64_t va) const {
  return Locate(va);
}

bool BigPageTable::Remove(uint64_t va, POOL_TRACKER_BIG_PAGES* removed) {
  POOL_TRACKER_BIG_PAGES* entry = Locate(va);
  if (entry == nullptr) return false;
  *removed = *entry;
  *entry = {};
  entry->Va = kTombstone;
  --live_;
  return true;
}

}  // namespace ex
