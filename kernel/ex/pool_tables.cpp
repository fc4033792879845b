#include "ex/pool_tables.h"

namespace ex {
namespace {

void Add(uint64_t* counter, uint64_t value) {
  __atomic_fetch_add(counter, value, __ATOMIC_RELAXED);
}

}  // namespace

uint32_t TagTable::SlotFor(uint32_t tag) {
  POOL_TRACKER_TABLE* const entries = tables_[0];
  const uint32_t last = size_ - 1;
  const auto key = static_cast<int32_t>(tag);
  for (uint32_t probe = 0, slot = tag * 0x9E3779B1u; probe < last; ++probe, ++slot) {
    POOL_TRACKER_TABLE* entry = &entries[slot & last];
    if (entry == &entries[last]) continue;
    int32_t expected = __atomic_load_n(&entry->Key, __ATOMIC_ACQUIRE);
    if (expected == key) return slot & last;
    if (expected != 0) continue;
    if (__atomic_compare_exchange_n(&entry->Key, &expected, key, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) ||
        expected == key) {
      return slot & last;
    }
  }
  return last;
}

POOL_TRACKER_TABLE* TagTable::EntryFor(uint32_t processor, uint32_t tag) {
  const uint32_t slot = SlotFor(tag);
  POOL_TRACKER_TABLE* entry = &tables_[processor < count_ ? processor : 0][slot];
  if (entry->Key == 0 && slot != size_ - 1)
    __atomic_store_n(&entry->Key, tables_[0][slot].Key, __ATOMIC_RELAXED);
  return entry;
}

bool TagTable::Read(uint32_t index, POOL_TRACKER_TABLE* sum) const {
  *sum = {};
  sum->Key = __atomic_load_n(&tables_[0][index].Key, __ATOMIC_ACQUIRE);
  for (uint32_t table = 0; table < count_; ++table) {
    const POOL_TRACKER_TABLE& entry = tables_[table][index];
    // Frees first: an allocation that comes in between is not yet missing its free.
    sum->NonPagedFrees += __atomic_load_n(&entry.NonPagedFrees, __ATOMIC_RELAXED);
    sum->PagedFrees += __atomic_load_n(&entry.PagedFrees, __ATOMIC_RELAXED);
  }
  for (uint32_t table = 0; table < count_; ++table) {
    const POOL_TRACKER_TABLE& entry = tables_[table][index];
    sum->NonPagedAllocs += __atomic_load_n(&entry.NonPagedAllocs, __ATOMIC_RELAXED);
    sum->NonPagedBytes += __atomic_load_n(&entry.NonPagedBytes, __ATOMIC_RELAXED);
    sum->PagedAllocs += __atomic_load_n(&entry.PagedAllocs, __ATOMIC_RELAXED);
    sum->PagedBytes += __atomic_load_n(&entry.PagedBytes, __ATOMIC_RELAXED);
  }
  return sum->Key != 0 || sum->NonPagedAllocs + sum->PagedAllocs != 0;
}

bool TagTable::Find(uint32_t tag, POOL_TRACKER_TABLE* sum) const {
  for (uint32_t i = 0; i < size_; ++i) {
    if (tables_[0][i].Key == static_cast<int32_t>(tag)) return Read(i, sum);
  }
  return false;
}

void TagTable::CountAllocation(uint32_t processor, uint32_t tag, bool paged, uint64_t bytes) {
  POOL_TRACKER_TABLE* entry = EntryFor(processor, tag);
  Add(paged ? &entry->PagedBytes : &entry->NonPagedBytes, bytes);
  Add(paged ? &entry->PagedAllocs : &entry->NonPagedAllocs, 1);
}

void TagTable::CountFree(uint32_t processor, uint32_t tag, bool paged, uint64_t bytes) {
  POOL_TRACKER_TABLE* entry = EntryFor(processor, tag);
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

POOL_TRACKER_BIG_PAGES* BigPageTable::FindOrNull(uint64_t va) const {
  if (va <= kTombstone) return nullptr;
  for (uint64_t probe = 0, slot = Slot(va); probe < capacity_; ++probe, slot = (slot + 1) & (capacity_ - 1)) {
    if (entries_[slot].Va == va) return &entries_[slot];
    if (entries_[slot].Va == 0) return nullptr;
  }
  return nullptr;
}

bool BigPageTable::Remove(uint64_t va, POOL_TRACKER_BIG_PAGES* removed) {
  POOL_TRACKER_BIG_PAGES* entry = FindOrNull(va);
  if (entry == nullptr) return false;
  *removed = *entry;
  *entry = {};
  entry->Va = kTombstone;
  --live_;
  return true;
}

}  // namespace ex
