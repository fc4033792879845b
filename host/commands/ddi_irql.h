// At which IRQL the documentation allows a kernel routine to be called.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace commands {

struct IrqlRange {
  uint8_t minimum = 0;
  uint8_t maximum = 15;
};

// Nothing for routines that are not documented, or whose rule is not a plain range. NtX answers as ZwX.
std::optional<IrqlRange> DocumentedIrql(std::string_view routine);
// "PASSIVE_LEVEL", "at most DISPATCH_LEVEL".
std::string IrqlRangeText(const IrqlRange& range);

}  // namespace commands
