// Driver Verifier: a verified driver's imports lead to routines of this module, which look at the call before
// (and after) NT's own routine runs. What a debugger reads: vf/verifier_types.h.
#pragma once

#include "nt/ntos.h"

// Phase 1, after io: registers the request by which the host turns verification on.
NTSTATUS VfInitSystem();
// The spin locks of drivers that are loaded from now on are checked as in a checked build of Windows.
VOID VfSetCheckedSpinLocks(BOOLEAN Checked);
