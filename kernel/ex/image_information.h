// ZwSetSystemInformation's classes for images.
#pragma once

#include "nt/ntos.h"

namespace ex {

// Information is a SYSTEM_GDI_DRIVER_INFORMATION; the image's entry is not called. PASSIVE_LEVEL.
NTSTATUS LoadGdiDriver(PVOID information, ULONG length);
// Information is the SectionPointer of the load.
NTSTATUS UnloadGdiDriver(PVOID information, ULONG length);

}  // namespace ex
