// Event tracing: providers of drivers, and one session: the host's trace (docs/trace.md).
#pragma once

#include "nt/ntos.h"

namespace etw {

// What the session takes: events of this level and more severe ones; 0 turns it off. Before the first driver.
void SetSessionLevel(ULONG level);

}  // namespace etw
