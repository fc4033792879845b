// Who may do what with an object: its descriptor stands in its header, under the header's push lock. An
// object without one is everybody's.
#pragma once

#include "ob/ob.h"

namespace ob {

// What a handle or reference for the current thread gets of `desired`. Kernel mode, unless the attributes
// force the check, gets what it asks. `state` may be 0. PASSIVE_LEVEL for user mode.
NTSTATUS CheckAccess(PVOID object, ACCESS_MASK desired, ULONG attributes, KPROCESSOR_MODE mode,
                     PACCESS_STATE state, ACCESS_MASK* granted);
// Gives a new object the descriptor that the current subject makes of an explicit one.
NTSTATUS AssignSecurity(PVOID object, PSECURITY_DESCRIPTOR explicit_descriptor);

// A type whose objects keep their descriptors elsewhere (TypeInfo.SecurityProcedure).
using SecurityMethod = NTSTATUS (*)(PVOID object, bool set, PSECURITY_INFORMATION information,
                                    PSECURITY_DESCRIPTOR descriptor, PULONG length);
NTSTATUS QuerySecurity(PVOID object, SECURITY_INFORMATION information, PSECURITY_DESCRIPTOR descriptor,
                       PULONG length);
NTSTATUS SetSecurity(PVOID object, SECURITY_INFORMATION information, PSECURITY_DESCRIPTOR descriptor);

}  // namespace ob
