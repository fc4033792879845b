// Classes of NtQuerySystemInformation that the pools answer.
#pragma once

#include "nt/ntos.h"

namespace ex {

typedef void (*PoolAnswer)(PVOID context, const void* data, ULONG bytes);
// SystemPoolTagInformation: exact statistics by tag, of all processors.
void QueryPoolTags(PoolAnswer append, PVOID context);
// SystemBigPoolInformation: every allocation of whole pages.
NTSTATUS QueryBigPool(PoolAnswer append, PVOID context);

}  // namespace ex
