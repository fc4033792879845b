#include "ex/pool_blocks.h"

namespace ex {
namespace {

uint64_t OffsetInPage(const POOL_HEADER* header) {
  return reinterpret_cast<uintptr_t>(header) % kPoolPage;
}

POOL_HEADER* Forward(POOL_HEADER* header, uint64_t units) {
  return header + units;
}

// The block after, nullptr at the page's end.
POOL_HEADER* NextOrNull(POOL_HEADER* header, uint64_t units) {
  return OffsetInPage(header) + units * kPoolUnit == kPoolPage ? nullptr : header + units;
}

}  // namespace

void BlockPool::Init(uint8_t index, bool paged) {
  for (FreeEntry& list : lists_) list.next = list.previous = &list;
  for (uint64_t& word : non_empty_) word = 0;
  index_ = index;
  type_ = paged ? kPoolPaged : 0;
}

uint64_t BlockPool::UnitsAt(const POOL_HEADER* header) {
  return header->BlockSize == 0 ? kUnitsPerPage : header->BlockSize;
}

void BlockPool::PushFree(POOL_HEADER* header, uint64_t units) {
  header->BlockSize = static_cast<uint8_t>(units);
  header->PoolType = 0;
  header->PoolIndex = index_;
  if (units < 2) return;  // no room for a list entry: waits for a neighbour
  auto* entry = reinterpret_cast<FreeEntry*>(header + 1);
  FreeEntry* list = &lists_[units];
  entry->next = list->next;
  entry->previous = list;
  list->next->previous = entry;
  list->next = entry;
  non_empty_[units / 64] |= 1ull << (units % 64);
}

PoolError BlockPool::Unlink(POOL_HEADER* header, uint64_t units) {
  if (units < 2) return PoolError::kNone;
  auto* entry = reinterpret_cast<FreeEntry*>(header + 1);
  if (entry->next->previous != entry || entry->previous->next != entry) return PoolError::kFreeListLinks;
  entry->next->previous = entry->previous;
  entry->previous->next = entry->next;
  const FreeEntry* list = &lists_[units];
  if (list->next == list) non_empty_[units / 64] &= ~(1ull << (units % 64));
  return PoolError::kNone;
}

void BlockPool::SetPrevious(POOL_HEADER* header, uint64_t units) {
  if (POOL_HEADER* next = NextOrNull(header, units)) next->PreviousSize = static_cast<uint8_t>(units);
}

POOL_HEADER* BlockPool::TakeFirst(uint64_t units, uint64_t* found, PoolError* error) {
  uint64_t word = units / 64;
  uint64_t bits = non_empty_[word] & (~0ull << (units % 64));
  while (bits == 0) {
    if (++word == sizeof(non_empty_) / sizeof(non_empty_[0])) return nullptr;
    bits = non_empty_[word];
  }
  const uint64_t size = word * 64 + static_cast<uint64_t>(__builtin_ctzll(bits));
  POOL_HEADER* header = reinterpret_cast<POOL_HEADER*>(lists_[size].next) - 1;
  *found = size;
  if (UnitsAt(header) != size || (header->PoolType & kPoolInUse) != 0) {
    *error = PoolError::kBadHeader;
    return header;
  }
  *error = Unlink(header, size);
  return header;
}

// Makes the first `units` of `total` a block of their own; the rest becomes a free block.
void BlockPool::Split(POOL_HEADER* header, uint64_t units, uint64_t total) {
  POOL_HEADER* rest = Forward(header, units);
  *rest = {};
  rest->PreviousSize = static_cast<uint8_t>(units);
  PushFree(rest, total - units);
  SetPrevious(rest, total - units);
}

void* BlockPool::Allocate(uint64_t size, uint32_t tag, void* caller, bool cache_aligned, PoolError* error) {
  constexpr uint64_t kCacheLineUnits = 64 / kPoolUnit;
  *error = PoolError::kNone;
  uint64_t units = (size + 2 * kPoolUnit - 1) / kPoolUnit;
  if (units < 2) units = 2;
  const uint64_t wanted = cache_aligned ? units + kCacheLineUnits - 1 : units;
  uint64_t found = 0;
  POOL_HEADER* header = TakeFirst(wanted <= kUnitsPerPage ? wanted : kUnitsPerPage, &found, error);
  if (header == nullptr || *error != PoolError::kNone) return header;
  if (found == kUnitsPerPage) --whole_pages_;
  if (cache_aligned) {
    const uint64_t unit_in_line = reinterpret_cast<uintptr_t>(header) / kPoolUnit % kCacheLineUnits;
    const uint64_t lead = (kCacheLineUnits - 1 - unit_in_line) % kCacheLineUnits;
    if (lead != 0 && lead + units <= found) {
      POOL_HEADER* block = Forward(header, lead);
      *block = {};
      block->PreviousSize = static_cast<uint8_t>(lead);
      PushFree(header, lead);
      header = block;
      found -= lead;
      SetPrevious(header, found);
    }
  }
  if (found > units) Split(header, units, found);
  header->BlockSize = static_cast<uint8_t>(units);
  header->PoolIndex = index_;
  header->PoolType = static_cast<uint8_t>(kPoolInUse | type_);
  header->PoolTag = tag;
  header->CallerAddress = caller;
  return header + 1;
}

void BlockPool::AddPage(void* page) {
  auto* header = static_cast<POOL_HEADER*>(page);
  *header = {};
  PushFree(header, kUnitsPerPage);
  ++whole_pages_;
}

PoolError BlockPool::Check(const void* block) const {
  if (reinterpret_cast<uintptr_t>(block) % kPoolUnit != 0) return PoolError::kBadHeader;
  POOL_HEADER* header = HeaderOf(block);
  if ((header->PoolType & kPoolInUse) == 0) return PoolError::kAlreadyFree;
  const uint64_t offset = OffsetInPage(header);
  const uint64_t units = header->BlockSize;
  if (units < 2 || offset + units * kPoolUnit > kPoolPage || header->PoolIndex != index_ ||
      header->PreviousSize * kPoolUnit > offset || (header->PreviousSize == 0) != (offset == 0)) {
    return PoolError::kBadHeader;
  }
  const POOL_HEADER* next = NextOrNull(header, units);
  if (next != nullptr && next->PreviousSize != units) return PoolError::kNeighbourSize;
  if (offset != 0 && (header - header->PreviousSize)->BlockSize != header->PreviousSize)
    return PoolError::kNeighbourSize;
  return PoolError::kNone;
}

PoolError BlockPool::Free(void* block, void** empty_page) {
  *empty_page = nullptr;
  PoolError error = Check(block);
  if (error != PoolError::kNone) return error;
  POOL_HEADER* header = HeaderOf(block);
  uint64_t units = header->BlockSize;
  header->PoolType = 0;  // a second free of this address is seen as long as the header stands
  POOL_HEADER* next = NextOrNull(header, units);
  if (next != nullptr && (next->PoolType & kPoolInUse) == 0) {
    error = Unlink(next, next->BlockSize);
    if (error != PoolError::kNone) return error;
    units += next->BlockSize;
  }
  if (header->PreviousSize != 0) {
    POOL_HEADER* previous = header - header->PreviousSize;
    if ((previous->PoolType & kPoolInUse) == 0) {
      error = Unlink(previous, previous->BlockSize);
      if (error != PoolError::kNone) return error;
      units += previous->BlockSize;
      header = previous;
    }
  }
  if (units == kUnitsPerPage) {
    *empty_page = header;
    return PoolError::kNone;
  }
  PushFree(header, units);
  SetPrevious(header, units);
  return PoolError::kNone;
}

}  // namespace ex
