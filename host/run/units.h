// Times and sizes as users write them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/result.h"

namespace run {

// "30s", "500ms", "2m", "1h"; a plain number is seconds.
base::Result<std::chrono::milliseconds> ParseDuration(const std::string& text);
// "256M", "1G", "262144K"; a plain number is MiB, as in QEMU's -m.
base::Result<uint64_t> ParseSize(const std::string& text);

}  // namespace run
