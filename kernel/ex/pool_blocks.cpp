#include "ex/pool_blocks.h"

// A fault in here is a damaged pool (bug check 0xC5), so the code has the section that Windows gives it.
#ifdef _WIN32
#pragma code_seg("POOLCODE")
#endif

extern "C" {
uint64_t ExpPoolCookie = 0x9E3779B97F4A7C15;
}

namespace ex {
namespace {

uint64_t OffsetInPage(const POOL_HEADER* header) {
  return reinterpret_cast<uintptr_t>(header) % kPoolPage;
}

POOL_HEADER* Forward(POOL_HEADER* header, uint64_t units) {
  return header + units;
}

// The block after, nullptr at the page's end.
template <typename Header>
Header* NextOrNull(Header* header, uint64_t units) {
  return OffsetInPage(header) + units * kPoolUnit == kPoolPage ? nullptr : header + units;
}

uint64_t FreedPattern(const void* block) {
  return ExpPoolCookie ^ (reinterpret_cast<uintptr_t>(block) * 0xFF51AFD7ED558CCD);
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

uint16_t BlockPool::CookieOf(const POOL_HEADER* header) {
  const uint64_t label = reinterpret_cast<uint64_t>(header->ProcessBilled) & 0xFFFF'FFFF'FFFF;
  const uint64_t shape = header->PoolTag | static_cast<uint64_t>(header->BlockSize) << 32 |
                         static_cast<uint64_t>(header->PoolIndex) << 40;
  uint64_t hash = (reinterpret_cast<uintptr_t>(header) ^ ExpPoolCookie ^ shape) * 0x9E3779B97F4A7C15;
  hash = (hash ^ hash >> 29 ^ label) * 0xBF58476D1CE4E5B9;
  return static_cast<uint16_t>(hash >> 48);
}

// Tag, caller, guard bytes and cookie; the sizes stand already.
void BlockPool::SetLabel(POOL_HEADER* header, uint64_t size, const BlockLabel& label) {
  const uint64_t unused = (header->BlockSize - 1u) * kPoolUnit - size;
  const auto caller = reinterpret_cast<uint64_t>(label.caller);
  header->PoolTag = label.tag;
  header->ProcessBilled = nullptr;
  if ((caller & kCallerBase) == kCallerBase) header->CallerAddress = caller & ~kCallerBase;
  header->UnusedBytes = unused;
  header->HeaderCookie = CookieOf(header);
  auto* guard = reinterpret_cast<uint8_t*>(header + 1) + size;
  for (uint64_t i = 0; i < unused; ++i) guard[i] = kGuardByte;
}

void BlockPool::Relabel(void* block, uint64_t size, const BlockLabel& label) {
  POOL_HEADER* header = HeaderOf(block);
  SetLabel(header, size, label);
  const uint8_t type = static_cast<uint8_t>((header->PoolType & ~(kPoolCached | kPoolQuota)) | label.flags);
  __atomic_store_n(&header->PoolType, type, __ATOMIC_RELEASE);
}

void BlockPool::WriteFreedPattern(void* block) {
  auto* words = static_cast<uint64_t*>(block);
  words[0] = words[1] = FreedPattern(block);
}

PoolFinding BlockPool::CheckFreedPattern(const void* block) {
  const auto* words = static_cast<const uint64_t*>(block);
  for (int i = 0; i < 2; ++i) {
    if (words[i] != FreedPattern(block)) return {PoolError::kWrittenAfterFree, &words[i], words[i]};
  }
  return {};
}

void BlockPool::PushFree(POOL_HEADER* header, uint64_t units) {
  header->BlockSize = static_cast<uint8_t>(units);
  header->PoolType = 0;
  header->PoolIndex = index_;
  header->UnusedBytes = 0;
  header->HeaderCookie = CookieOf(header);
  if (units < 2) return;  // no room for a list entry: waits for a neighbour
  auto* entry = reinterpret_cast<FreeEntry*>(header + 1);
  FreeEntry* list = &lists_[units];
  entry->next = list->next;
  entry->previous = list;
  list->next->previous = entry;
  list->next = entry;
  non_empty_[units / 64] |= 1ull << (units % 64);
}

PoolFinding BlockPool::Unlink(POOL_HEADER* header, uint64_t units) {
  if (header->HeaderCookie != CookieOf(header) || UnitsAt(header) != units)
    return {PoolError::kFreeHeader, header, header->Ulong1};
  if (units < 2) return {};
  auto* entry = reinterpret_cast<FreeEntry*>(header + 1);
  if (entry->next->previous != entry || entry->previous->next != entry)
    return {PoolError::kFreeListLinks, entry, 0};
  entry->next->previous = entry->previous;
  entry->previous->next = entry->next;
  const FreeEntry* list = &lists_[units];
  if (list->next == list) non_empty_[units / 64] &= ~(1ull << (units % 64));
  return {};
}

void BlockPool::SetPrevious(POOL_HEADER* header, uint64_t units) {
  if (POOL_HEADER* next = NextOrNull(header, units)) next->PreviousSize = static_cast<uint8_t>(units);
}

POOL_HEADER* BlockPool::TakeFirst(uint64_t units, uint64_t* found, PoolFinding* finding) {
  uint64_t word = units / 64;
  uint64_t bits = non_empty_[word] & (~0ull << (units % 64));
  while (bits == 0) {
    if (++word == sizeof(non_empty_) / sizeof(non_empty_[0])) return nullptr;
    bits = non_empty_[word];
  }
  const uint64_t size = word * 64 + static_cast<uint64_t>(__builtin_ctzll(bits));
  POOL_HEADER* header = reinterpret_cast<POOL_HEADER*>(lists_[size].next) - 1;
  *found = size;
  if ((header->PoolType & kPoolInUse) != 0) {
    *finding = {PoolError::kFreeHeader, header, header->Ulong1};
    return nullptr;
  }
  *finding = Unlink(header, size);
  return *finding ? nullptr : header;
}

// Makes the first `units` of `total` a block of their own; the rest becomes a free block.
void BlockPool::Split(POOL_HEADER* header, uint64_t units, uint64_t total) {
  POOL_HEADER* rest = Forward(header, units);
  *rest = {};
  rest->PreviousSize = static_cast<uint8_t>(units);
  PushFree(rest, total - units);
  SetPrevious(rest, total - units);
}

void* BlockPool::Allocate(uint64_t size, const BlockLabel& label, bool cache_aligned, PoolFinding* finding) {
  constexpr uint64_t kCacheLineUnits = 64 / kPoolUnit;
  *finding = {};
  const uint64_t units = UnitsFor(size);
  const uint64_t wanted = cache_aligned ? units + kCacheLineUnits - 1 : units;
  uint64_t found = 0;
  POOL_HEADER* header = TakeFirst(wanted <= kUnitsPerPage ? wanted : kUnitsPerPage, &found, finding);
  if (header == nullptr) return nullptr;
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
  SetLabel(header, size, label);
  const uint8_t type = static_cast<uint8_t>(kPoolInUse | type_ | label.flags);
  __atomic_store_n(&header->PoolType, type, __ATOMIC_RELEASE);
  return header + 1;
}

void BlockPool::AddPage(void* page) {
  auto* header = static_cast<POOL_HEADER*>(page);
  *header = {};
  PushFree(header, kUnitsPerPage);
  ++whole_pages_;
}

bool BlockPool::IsBlockOfPage(const void* block) {
  const auto address = reinterpret_cast<uintptr_t>(block);
  const POOL_HEADER* target = HeaderOf(block);
  if (address % kPoolUnit != 0) return false;
  const auto* header = reinterpret_cast<const POOL_HEADER*>(address & ~(kPoolPage - 1));
  while (header < target && header->BlockSize != 0) header += header->BlockSize;
  return header == target;
}

PoolFinding BlockPool::CheckOwn(const void* block) const {
  const POOL_HEADER* header = HeaderOf(block);
  if (reinterpret_cast<uintptr_t>(block) % kPoolUnit != 0) return {PoolError::kNotABlock, block, 0};
  const uint64_t offset = OffsetInPage(header);
  const uint64_t units = header->BlockSize;
  const bool sound = header->HeaderCookie == CookieOf(header) && header->PoolIndex == index_;
  if (sound && (header->PoolType & (kPoolInUse | kPoolCached)) != kPoolInUse)
    return {PoolError::kAlreadyFree, header, header->Ulong1};
  if (!sound || units < 2 || offset + units * kPoolUnit > kPoolPage)
    return {PoolError::kBadHeader, header, header->Ulong1};
  const uint64_t size = (units - 1) * kPoolUnit;
  const auto* payload = static_cast<const uint8_t*>(block);
  for (uint64_t i = size - header->UnusedBytes; i < size; ++i) {
    if (payload[i] != kGuardByte) return {PoolError::kOverrun, payload + i, payload[i]};
  }
  const POOL_HEADER* next = NextOrNull(header, units);
  if (next != nullptr && next->PreviousSize != units)
    return {PoolError::kNeighbourSize, next, header->Ulong1};
  return {};
}

PoolFinding BlockPool::Check(const void* block) const {
  const PoolFinding own = CheckOwn(block);
  return own ? own : CheckNeighbours(block);
}

PoolFinding BlockPool::CheckNeighbours(const void* block) const {
  const POOL_HEADER* header = HeaderOf(block);
  const POOL_HEADER* next = NextOrNull(header, header->BlockSize);
  if (next != nullptr && next->PreviousSize != header->BlockSize)
    return {PoolError::kNeighbourSize, next, header->Ulong1};
  const uint64_t offset = OffsetInPage(header);
  const uint64_t previous = header->PreviousSize;
  if (previous * kPoolUnit > offset || (previous == 0) != (offset == 0) ||
      (offset != 0 && (header - previous)->BlockSize != previous)) {
    return {PoolError::kPreviousSize, header, header->Ulong1};
  }
  return {};
}

PoolFinding BlockPool::CheckPage(const void* page, const POOL_HEADER** before) const {
  const auto* header = static_cast<const POOL_HEADER*>(page);
  uint64_t previous = 0;
  for (uint64_t unit = 0; unit < kUnitsPerPage;) {
    if (before != nullptr) *before = previous == 0 ? nullptr : header - previous;
    // The label of a block that comes out of a processor's cache is written without the pool's lock.
    const uint8_t state = __atomic_load_n(&header->PoolType, __ATOMIC_ACQUIRE) & (kPoolInUse | kPoolCached);
    const bool settled = state != (kPoolInUse | kPoolCached);
    const uint64_t units = UnitsAt(header);
    const bool sound = header->PoolIndex == index_ && unit + units <= kUnitsPerPage;
    if (!sound || (settled && header->HeaderCookie != CookieOf(header)))
      return {PoolError::kBadHeader, header, header->Ulong1};
    if (header->PreviousSize != previous) return {PoolError::kPreviousSize, header, header->Ulong1};
    previous = units;
    unit += units;
    header += units;
  }
  return {};
}

// Joins a block on its way out with its free neighbours.
PoolFinding BlockPool::Merge(POOL_HEADER** block, uint64_t* total) {
  POOL_HEADER* header = *block;
  uint64_t units = *total;
  POOL_HEADER* next = NextOrNull(header, units);
  if (next != nullptr && (next->PoolType & kPoolInUse) == 0) {
    const PoolFinding finding = Unlink(next, next->BlockSize);
    if (finding) return finding;
    units += next->BlockSize;
  }
  if (header->PreviousSize != 0) {
    POOL_HEADER* previous = header - header->PreviousSize;
    if ((previous->PoolType & kPoolInUse) == 0) {
      const PoolFinding finding = Unlink(previous, previous->BlockSize);
      if (finding) return finding;
      units += previous->BlockSize;
      header = previous;
    }
  }
  *block = header;
  *total = units;
  return {};
}

PoolFinding BlockPool::Free(void* block, void** empty_page) {
  *empty_page = nullptr;
  POOL_HEADER* header = HeaderOf(block);
  uint64_t units = header->BlockSize;
  header->PoolType = 0;  // a second free of this address is seen as long as the header stands
  const PoolFinding finding = Merge(&header, &units);
  if (finding) return finding;
  if (units == kUnitsPerPage) {
    *empty_page = header;
    return {};
  }
  PushFree(header, units);
  SetPrevious(header, units);
  return {};
}

}  // namespace ex
