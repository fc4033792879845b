// Between the files of hal.
#pragma once

#include "hal/hal.h"

namespace hal {
// The APIC timer as a plain 1 GHz up-counter, for calibration.
void StartReferenceCount();
unsigned int ReadReferenceCount();
void StopReferenceCount();
}  // namespace hal
