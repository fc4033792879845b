// Performance counters.
#pragma once

#include "nt/ntos.h"

extern "C" {
// Phase 1, after the I/O manager: the device through which counters are read.
NTSTATUS PcwInitSystem();
}
