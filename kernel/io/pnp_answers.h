// What our own bus drivers answer alike: root enumeration and PCI.
#pragma once

#include "pnp_internal.h"

namespace pnp {

// Paged pool with the data and so many zero bytes behind; 0: no memory.
inline PVOID PagedCopy(const void* data, ULONG size, ULONG zeros) {
  auto* copy = static_cast<UCHAR*>(ExAllocatePoolWithTag(PagedPool, size + zeros, kNodeTag));
  if (copy == nullptr) return nullptr;
  RtlCopyMemory(copy, data, size);
  RtlZeroMemory(copy + size, zeros);
  return copy;
}

// Requests to which a device that has nothing to do with them agrees.
inline bool IsAgreedTo(UCHAR minor) {
  switch (minor) {
    case IRP_MN_QUERY_STOP_DEVICE:
    case IRP_MN_CANCEL_STOP_DEVICE:
    case IRP_MN_STOP_DEVICE:
    case IRP_MN_QUERY_REMOVE_DEVICE:
    case IRP_MN_CANCEL_REMOVE_DEVICE:
    case IRP_MN_SURPRISE_REMOVAL:
      return true;
    default:
      return false;
  }
}

inline NTSTATUS AnswerBus(const PNP_BUS_INFORMATION& bus, ULONG_PTR* information) {
  *information = reinterpret_cast<ULONG_PTR>(PagedCopy(&bus, sizeof(bus), 0));
  return *information != 0 ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

// TargetDeviceRelation: the PDO itself, referenced.
inline NTSTATUS AnswerTarget(PDEVICE_OBJECT device, ULONG_PTR* information) {
  auto* relations =
      static_cast<PDEVICE_RELATIONS>(ExAllocatePoolWithTag(PagedPool, sizeof(DEVICE_RELATIONS), kNodeTag));
  if (relations == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  ObfReferenceObject(device);
  relations->Count = 1;
  relations->Objects[0] = device;
  *information = reinterpret_cast<ULONG_PTR>(relations);
  return STATUS_SUCCESS;
}

}  // namespace pnp

extern "C" {
// Power requests of a PDO whose device is always on: state changes succeed.
NTSTATUS NTAPI PnpPdoPower(PDEVICE_OBJECT DeviceObject, PIRP Irp);
// Completes a request as it came.
NTSTATUS NTAPI PnpPdoPassThrough(PDEVICE_OBJECT DeviceObject, PIRP Irp);
}
