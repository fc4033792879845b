// The configuration manager (registry).
#pragma once

#include "nt/ntos.h"

extern "C" {
// Phase 1, after ex: key type, \REGISTRY with MACHINE\SYSTEM (empty CurrentControlSet) and volatile HARDWARE.
NTSTATUS CmInitSystem();
// Once C: is there: reads \SystemRoot\System32\config\SYSTEM into MACHINE\SYSTEM; a missing file is an empty
// hive.
NTSTATUS CmLoadSystemHive();
// Writes the hive if it changed: a new file, then a rename over the old one. PASSIVE_LEVEL.
NTSTATUS CmFlushHives();
}
