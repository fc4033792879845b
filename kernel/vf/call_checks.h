// Checks of arguments by a table: user addresses, strings, synchronization objects, the IRQL of Zw calls.
#pragma once

#include "verifier_types.h"

// One import of a verified driver. Target comes first: call_thunk.S.
typedef struct _VF_CHECKED_CALL {
  PVOID Target;
  const char* Routine;
  const char* Shape;  // call_checks.inc
} VF_CHECKED_CALL, *PVF_CHECKED_CALL;

namespace vf {

// What an import is bound to so that its arguments are looked at first; `target` itself where the table or
// the options have nothing to check, or without memory. The driver's thunks hold it.
PVOID MakeCallThunk(PVF_SUSPECT_DRIVER_ENTRY driver, const char* routine, PVOID target);
// Memory for one thunk of a driver, 64 bytes of code; 0 without memory.
inline constexpr ULONG kThunkBytes = 64;
PUCHAR AllocateThunk(PVF_SUSPECT_DRIVER_ENTRY driver);

// Bytes that nobody else may own at any IRQL: in paged pool, or in a pageable section of an image.
bool IsPageable(PVOID address);

}  // namespace vf
