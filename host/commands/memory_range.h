// Address ranges of the d* and u commands: "ADDRESS", "ADDRESS L20", "ADDRESS END".
#pragma once

#include <cstdint>
#include <string_view>

#include "commands/command.h"

namespace commands {

struct MemoryRange {
  uint64_t address = 0;
  uint64_t count = 0;  // objects
};

inline constexpr uint64_t kMaxRangeCount = 0x10000;

// `next`: where an empty argument goes on. Counts are in objects of `object_size` bytes.
base::Result<MemoryRange> ParseRange(Context& context, std::string_view text, uint64_t next,
                                     uint64_t default_count, uint64_t object_size);

}  // namespace commands
