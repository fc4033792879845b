// Security: SIDs, ACLs, descriptors, SeExports.
#pragma once

#include "nt/ntos.h"

extern "C" {
// Phase 0, after ob.
NTSTATUS SeInitSystem();
extern PSECURITY_DESCRIPTOR SePublicDefaultSd;
}
