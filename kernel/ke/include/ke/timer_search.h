// What Driver Verifier asks about memory that is about to be freed.
#pragma once

#include "nt/ntos.h"

extern "C" {
// A timer that is set and lies in that range; 0: none. IRQL <= DISPATCH_LEVEL.
PKTIMER KeFindTimer(PVOID Start, SIZE_T Size);
}
