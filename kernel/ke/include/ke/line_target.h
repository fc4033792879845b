// Which processor the interrupts of a device's line come to.
#pragma once

#include "nt/ntos.h"

// The first of these processors that runs. Connect the line before; one with several routines stays where it
// is. IRQL <= DISPATCH_LEVEL.
extern "C" VOID KeTargetLine(ULONG gsi, KAFFINITY affinity);
