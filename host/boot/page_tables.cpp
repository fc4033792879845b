#include "boot/page_tables.h"

#include <fmt/format.h>

namespace boot {
namespace {

uint64_t ProtectionBits(Protection protection) {
  constexpr uint64_t kBase = kPtePresent | kPteAccessed;
  switch (protection) {
    case Protection::kReadOnly:
      return kBase | kPteNoExecute;
    case Protection::kReadWrite:
      return kBase | kPteDirty | kPteWrite | kPteNoExecute;
    case Protection::kReadExecute:
      return kBase;
    case Protection::kReadWriteExecute:
      return kBase | kPteDirty | kPteWrite;
    case Protection::kDevice:
      return kBase | kPteDirty | kPteWrite | kPteNoExecute | kPteCacheDisable | kPteWriteThrough;
  }
  return 0;
}

}  // namespace

base::Result<PageTables> PageTables::Create(GuestRam& ram, PageAllocator& allocator) {
  PageTables tables(ram, allocator);
  tables.root_ = TRY(allocator.Allocate(1, MemoryType::kMemoryData));
  auto* entries = ram.Object<uint64_t>(tables.root_);
  entries[kSelfMapSlot] = tables.root_ | ProtectionBits(Protection::kReadWrite);
  return tables;
}

base::Result<uint64_t*> PageTables::Entry(uint64_t virtual_address, int level) {
  uint64_t table = root_;
  for (int current = 4;; current--) {
    const uint64_t index = (virtual_address >> (12 + 9 * (current - 1))) & 0x1FF;
    uint64_t* entry = ram_->Object<uint64_t>(table + index * sizeof(uint64_t));
    if (current == level) return entry;
    if ((*entry & kPtePresent) == 0) {
      const uint64_t page = TRY(allocator_->Allocate(1, MemoryType::kMemoryData));
      // Upper levels allow everything; the last level decides.
      *entry = page | ProtectionBits(Protection::kReadWriteExecute);
    }
    if ((*entry & kPteLarge) != 0) return base::Fail("a large page is in the way of a small one");
    table = *entry & kPteAddressMask;
  }
}

base::Result<void> PageTables::Map(uint64_t virtual_address, uint64_t physical, uint64_t pages,
                                   Protection protection) {
  for (uint64_t i = 0; i < pages; i++) {
    uint64_t* entry = TRY(Entry(virtual_address + i * kPageSize, 1));
    if ((*entry & kPtePresent) != 0) {
      return base::Fail(fmt::format("address {:#x} is mapped twice", virtual_address + i * kPageSize));
    }
    *entry = (physical + i * kPageSize) | ProtectionBits(protection);
  }
  return {};
}

base::Result<void> PageTables::MapLarge(uint64_t virtual_address, uint64_t physical, Protection protection) {
  if (virtual_address % kLargePageSize != 0 || physical % kLargePageSize != 0) {
    return base::Fail("a large page is not aligned");
  }
  uint64_t* entry = TRY(Entry(virtual_address, 2));
  if ((*entry & kPtePresent) != 0)
    return base::Fail(fmt::format("address {:#x} is mapped twice", virtual_address));
  *entry = physical | ProtectionBits(protection) | kPteLarge;
  return {};
}

}  // namespace boot
