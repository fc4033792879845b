#include "run/units.h"

#include <cmath>
#include <cstdlib>

#include <fmt/format.h>

namespace run {
namespace {

// The number at the front; `suffix` is what follows it. False when there is none or it is negative.
bool Split(const std::string& text, double& number, std::string& suffix) {
  char* end = nullptr;
  if (text.empty() || (text[0] != '.' && (text[0] < '0' || text[0] > '9'))) return false;
  number = std::strtod(text.c_str(), &end);
  suffix = end;
  return std::isfinite(number);
}

}  // namespace

base::Result<std::chrono::milliseconds> ParseDuration(const std::string& text) {
  double number = 0;
  std::string unit;
  double factor = 0;
  if (Split(text, number, unit)) {
    factor = unit == "ms"                  ? 1
             : unit == "s" || unit.empty() ? 1000
             : unit == "m"                 ? 60000
             : unit == "h"                 ? 3600000
                                           : 0;
  }
  if (factor == 0 || number * factor > 1e10) {
    return base::Fail(fmt::format("'{}' is not a time: write it as 30s, 500ms or 2m", text));
  }
  return std::chrono::milliseconds(static_cast<int64_t>(number * factor));
}

base::Result<uint64_t> ParseSize(const std::string& text) {
  double number = 0;
  std::string unit;
  double factor = 0;
  if (Split(text, number, unit)) {
    if (!unit.empty() && (unit.back() == 'B' || unit.back() == 'b')) unit.pop_back();
    factor = unit == "K" || unit == "k"                   ? 1 << 10
             : unit == "M" || unit == "m" || unit.empty() ? 1 << 20
             : unit == "G" || unit == "g"                 ? 1 << 30
                                                          : 0;
  }
  if (factor == 0 || number * factor > 1e18) {
    return base::Fail(fmt::format("'{}' is not a size: write it as 256M or 1G", text));
  }
  return static_cast<uint64_t>(number * factor);
}

}  // namespace run
