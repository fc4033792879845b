// Environment variables in values of the registry.
#pragma once

#include "rtl/rtl.h"

namespace rtl {

// A copy of a text in which each %NAME% that the environment has is replaced by its value; what it has not
// stays. `environment` 0: the current program's, if there is one. *expanded is the caller's to free with
// ExFreePool. A fault on a program's memory is the status.
NTSTATUS ExpandVariables(const WCHAR* text, ULONG bytes, const WCHAR* environment, WCHAR** expanded,
                         ULONG* expanded_bytes);

}  // namespace rtl
