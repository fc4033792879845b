// The IRQL of a stopped processor.
#pragma once

#include <cstdint>
#include <optional>

#include "commands/nt_kernel.h"

namespace nt {

// Nothing when neither the PRCB nor the header tells.
std::optional<uint8_t> ProcessorIrql(Kernel& kernel, uint32_t number);

}  // namespace nt
