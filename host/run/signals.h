// Ctrl-C and friends as a descriptor to poll, so that an interrupted command cleans up in its ordinary way.
#pragma once

#include "base/unique_fd.h"

namespace run {

// Blocks SIGINT, SIGTERM and SIGHUP for this process and its later threads; readable when one has come.
base::UniqueFd BlockInterrupts();

}  // namespace run
