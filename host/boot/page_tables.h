// Builds x64 page tables in guest RAM.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "boot/guest_ram.h"
#include "boot/page_allocator.h"

namespace boot {

// Page-table entry bits, as the processor defines them.
enum PteBits : uint64_t {
  kPtePresent = 1ull << 0,
  kPteWrite = 1ull << 1,
  kPteWriteThrough = 1ull << 3,
  kPteCacheDisable = 1ull << 4,
  kPteAccessed = 1ull << 5,
  kPteDirty = 1ull << 6,
  kPteLarge = 1ull << 7,
  kPteNoExecute = 1ull << 63,
  kPteAddressMask = 0x000FFFFF'FFFFF000,
};

enum class Protection { kReadOnly, kReadWrite, kReadExecute, kReadWriteExecute, kDevice };

class PageTables {
 public:
  // Allocates the root and enters the self-map.
  static base::Result<PageTables> Create(GuestRam& ram, PageAllocator& allocator);

  uint64_t root() const { return root_; }

  // Maps `pages` pages of 4 KiB. Fails when one of them is mapped already.
  base::Result<void> Map(uint64_t virtual_address, uint64_t physical, uint64_t pages, Protection protection);
  // Maps one page of 2 MiB; both addresses are multiples of it.
  base::Result<void> MapLarge(uint64_t virtual_address, uint64_t physical, Protection protection);

 private:
  PageTables(GuestRam& ram, PageAllocator& allocator) : ram_(&ram), allocator_(&allocator) {}
  // The entry for `virtual_address` at `level` (1 = page table, 2 = directory), making the tables above it.
  base::Result<uint64_t*> Entry(uint64_t virtual_address, int level);

  GuestRam* ram_;
  PageAllocator* allocator_;
  uint64_t root_ = 0;
};

}  // namespace boot
