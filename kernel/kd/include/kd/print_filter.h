// Which messages of DbgPrint and its kin reach the console, and who else hears them.
#pragma once

#include "nt/ntos.h"

namespace kd {

// Whether a message is let through. Any IRQL.
bool PrintAllowed(ULONG component, ULONG level);
// The mask of the component with that name (Session Manager\Debug Print Filter); unknown names mean nothing.
void SetPrintMask(const WCHAR* name, ULONG mask);
// Calls the routines of DbgSetDebugPrintCallback; what they print is not told to them.
void TellPrintCallbacks(PSTRING text, ULONG component, ULONG level);

}  // namespace kd
