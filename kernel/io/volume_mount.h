// Volumes: what the opening of files needs of them. Private to io.
#pragma once

#include <ntifs.h>

namespace io {

// Has a registered file system mount the medium in a device, unless one has. STATUS_UNRECOGNIZED_VOLUME: none
// knows it. PASSIVE_LEVEL, no locks held.
NTSTATUS MountIfNeeded(PDEVICE_OBJECT device);

// A file object's reference; the last frees a VPB that its device no longer has.
void ReferenceVpb(PVPB vpb);
void DereferenceVpb(PVPB vpb);

}  // namespace io
