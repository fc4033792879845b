// Power, for the kernel's settings.
#pragma once

#include "nt/ntos.h"

extern "C" {
// How long a driver may keep a power request before it is bug check 0x9F; 0: as it is.
VOID PoSetIrpTimeout(ULONG Seconds);
}
