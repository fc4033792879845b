// How drivers register.
#include "wmi_internal.h"

extern "C" {

/// Registers a device as a provider of data blocks, takes that back, or has its driver asked again which
/// blocks those are (IRP_MN_REGINFO_EX, then IRP_MN_REGINFO, from a worker thread). Deregistering waits for
/// requests to end.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoWMIRegistrationControl.
NT_EXPORT(IoWMIRegistrationControl, nt::Exactly(PASSIVE_LEVEL), Full, "Wmi.*");
NTSTATUS NTAPI IoWMIRegistrationControl(PDEVICE_OBJECT DeviceObject, ULONG Action) {
  switch (Action) {
    case WMIREG_ACTION_REGISTER:
      return wmi::Register(DeviceObject);
    case WMIREG_ACTION_DEREGISTER:
      return wmi::Deregister(DeviceObject);
    case WMIREG_ACTION_REREGISTER: {
      const NTSTATUS status = wmi::Deregister(DeviceObject);
      return NT_SUCCESS(status) ? wmi::Register(DeviceObject) : status;
    }
    case WMIREG_ACTION_UPDATE_GUIDS:
      return wmi::Update(DeviceObject);
    default:
      return STATUS_INVALID_PARAMETER;
  }
}

/// The number by which WMI knows a registered device; 0 if it is not registered.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoWMIDeviceObjectToProviderId.
NT_EXPORT(IoWMIDeviceObjectToProviderId, nt::AtMost(DISPATCH_LEVEL), Full, "Wmi.*");
ULONG NTAPI IoWMIDeviceObjectToProviderId(PDEVICE_OBJECT DeviceObject) {
  return wmi::IdOf(DeviceObject);
}

}  // extern "C"
