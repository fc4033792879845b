// Page-out under pressure.
#pragma once

#include "nt/ntos.h"

namespace mm {

// Somebody took pages and fewer than the limit are left, or none: the balance set manager is to look. Any
// IRQL, any locks but those of the DPC queues.
void RequestBalance();
extern volatile ULONG64 g_low_pages;  // 0: nobody looks

// Waits a little for the manager to free pages, after an allocation of pages failed; the caller holds no lock
// of mm. False: there is no point in waiting. IRQL <= APC_LEVEL, else false.
bool WaitForPages(ULONG attempt);

}  // namespace mm
