// The subset of SDDL that device objects have: "D:P" and entries "(A;;access;;;sid)".
#pragma once

#include <ntifs.h>

namespace wdmsec {

// A list of what the text grants, in paged pool (ExFreePool). STATUS_INVALID_PARAMETER: it is no such text.
NTSTATUS ParseSddl(PCUNICODE_STRING text, PACL* acl);

}  // namespace wdmsec
