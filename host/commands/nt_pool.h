// The pools: blocks of a page, allocations of whole pages, special pool, statistics by tag. Everything by the
// symbols' names; what a kernel lacks is left out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "commands/nt_kernel.h"

namespace nt {

enum class BlockState : uint8_t { kAllocated, kFree, kCached };  // kCached: freed, kept by a processor

struct PoolBlock {
  uint64_t header = 0;   // of a block inside a page; 0 for whole pages and special pool
  uint64_t address = 0;  // what the driver got
  uint64_t size = 0;     // with its header
  uint64_t previous_size = 0;
  uint64_t requested = 0;  // bytes asked for, 0 = not known
  uint32_t tag = 0;
  BlockState state = BlockState::kFree;
  uint64_t allocated_by = 0;  // code address, 0 = not known
  uint64_t freed_by = 0;
};

struct PoolPage {
  std::vector<PoolBlock> blocks;  // as far as the headers make sense
  std::string damage;             // what is wrong with the first header that does not; "" = the page is whole
  uint64_t damaged_at = 0;
};

// The blocks of the page that contains `address`; an Error when its first header cannot be read.
base::Result<PoolPage> ReadPoolPage(Kernel& kernel, uint64_t address);
// An allocation of whole pages around `address`.
std::optional<PoolBlock> FindBigAllocation(Kernel& kernel, uint64_t address);
// The block of special pool whose slot contains `address`.
std::optional<PoolBlock> FindSpecialBlock(Kernel& kernel, uint64_t address);
// Whichever of the three it is.
std::optional<PoolBlock> FindPoolBlock(Kernel& kernel, uint64_t address);

// What the kernel found in its pools when it crashed.
struct PoolDamage {
  uint32_t kind = 0, tag = 0;
  uint64_t where = 0, block = 0, bytes = 0, allocated_by = 0, value = 0;
};
struct PoolCheck {
  bool complete = false;  // false: the check itself crashed
  uint64_t pages = 0, left_out = 0;
  std::vector<PoolDamage> damage;
};
// Nothing when the kernel made no such check.
std::optional<PoolCheck> PoolCheckAtCrash(Kernel& kernel);
// "the bytes behind the block were overwritten"
const char* DamageText(uint32_t kind);

struct TagUse {
  uint32_t tag = 0;
  int64_t nonpaged_allocs = 0, nonpaged_frees = 0, nonpaged_bytes = 0;
  int64_t paged_allocs = 0, paged_frees = 0, paged_bytes = 0;
};
// By tag, summed over the processors.
std::vector<TagUse> PoolTags(Kernel& kernel);

// "Proc", with dots for what is not printable.
std::string TagText(uint32_t tag);

}  // namespace nt
