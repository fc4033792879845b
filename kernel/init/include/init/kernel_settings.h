// What the registry and the boot options say about the kernel itself.
#pragma once

#include "boot/loader_block.h"
#include "nt/ntos.h"

namespace init {
// PASSIVE_LEVEL, when the registry is there.
NTSTATUS ApplyKernelSettings(const boot::LoaderBlock* block);
}  // namespace init
