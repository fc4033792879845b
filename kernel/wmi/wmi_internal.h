// Windows Management Instrumentation: devices that provide data blocks, and who asks them.
#pragma once

#include "nt/export.h"
#include "nt/ntos.h"
#include "ob/ob.h"

#include <wmistr.h>

namespace wmi {

inline constexpr ULONG kTag = 'pimW';

// A registered device. It stays while it is in the list or somebody asks it.
struct Provider {
  LIST_ENTRY link;
  PDEVICE_OBJECT device;  // referenced
  ULONG id;
  EX_RUNDOWN_REF requests;
  PWMIREGINFO info;  // what the driver answered to IRP_MN_REGINFO, in pool; 0: nothing yet
  ULONG info_size;
};

// Sends an IRP_MJ_SYSTEM_CONTROL to the top of the device's stack and waits. PASSIVE_LEVEL.
NTSTATUS Send(PDEVICE_OBJECT device, UCHAR minor, PVOID data_path, PVOID buffer, ULONG size,
              ULONG_PTR* information);

// The n-th provider of a block that may be asked, with its rundown protection taken; 0: no more.
Provider* AcquireProviderOf(const GUID& block, ULONG number);
void ReleaseProvider(Provider* provider);

NTSTATUS Register(PDEVICE_OBJECT device);
NTSTATUS Deregister(PDEVICE_OBJECT device);
NTSTATUS Update(PDEVICE_OBJECT device);
ULONG IdOf(PDEVICE_OBJECT device);

}  // namespace wmi
