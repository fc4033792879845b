// Hands out guest physical pages to the loader, upwards from kLoaderFirstPhysical, and says what each is used
// for.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "boot/guest_ram.h"
#include "boot/loader_block.h"

namespace boot {

class PageAllocator {
 public:
  explicit PageAllocator(const GuestRam& ram) : ram_(ram) {}

  // Contiguous zeroed pages; the physical address of the first.
  base::Result<uint64_t> Allocate(uint64_t pages, MemoryType type);

  // All RAM and the reserved ranges of microvm's low memory, sorted, neighbours of one type merged.
  std::vector<MemoryDescriptor> Descriptors() const;

 private:
  const GuestRam& ram_;
  uint64_t next_ = kLoaderFirstPhysical;
  std::vector<MemoryDescriptor> used_;
};

}  // namespace boot
