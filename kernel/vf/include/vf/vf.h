// Driver Verifier: a verified driver's imports lead to routines of this module, which look at the call before
// (and after) NT's own routine runs. What a debugger reads: vf/verifier_types.h.
#pragma once

#include "nt/ntos.h"

// Phase 1, after io: registers the request by which the host turns verification on.
NTSTATUS VfInitSystem();
