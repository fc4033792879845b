// What drivers tell plug and play: changed relations and states, ejection, devices that they found
// themselves.
#include "nt/export.h"
#include "pnp_internal.h"

namespace pnp {
namespace {

NTSTATUS EnumerateAction(PDEVICE_OBJECT device, PVOID) {
  PDEVICE_NODE node = NodeOf(device);
  if (node != nullptr && node->Parent != nullptr) Enumerate(node);
  return STATUS_SUCCESS;
}

NTSTATUS StateAction(PDEVICE_OBJECT device, PVOID) {
  PDEVICE_NODE node = NodeOf(device);
  if (node != nullptr && IsStarted(node)) CheckDeviceState(node);
  return STATUS_SUCCESS;
}

NTSTATUS EjectAction(PDEVICE_OBJECT device, PVOID) {
  PDEVICE_NODE node = NodeOf(device);
  if (node == nullptr || node->Parent == nullptr) return STATUS_NO_SUCH_DEVICE;
  return EjectNode(node);
}

struct RootReport {
  WCHAR id[80];  // ROOT\SERVICE and two zeros
  UNICODE_STRING service;
};

NTSTATUS RootReportAction(PDEVICE_OBJECT, PVOID context) {
  auto* report = static_cast<RootReport*>(context);
  const RootDevice root = {&report->service, report->id,
                           report->service.Length + 7 * static_cast<ULONG>(sizeof(WCHAR)), &report->service,
                           true};
  Name path;
  path.Append(L"ROOT\\").Append(&report->service).Append(L"\\0000");
  PDEVICE_NODE node;
  // One device a driver: a second report finds the first.
  if (FindNode(path.Get()) == nullptr) AddRootDevice(root, true, &node);
  ExFreePoolWithTag(report, kNodeTag);
  return STATUS_SUCCESS;
}

NTSTATUS DetectedAction(PDEVICE_OBJECT device, PVOID context) {
  PDEVICE_NODE node = NodeOf(device);
  if (node != nullptr && node->Parent != nullptr) Enumerate(node);
  static_cast<void>(context);
  return STATUS_SUCCESS;
}

struct Detection {
  PDRIVER_OBJECT driver;
  INTERFACE_TYPE bus_type;
  ULONG bus_number;
  PCM_RESOURCE_LIST resources;
  PDEVICE_OBJECT pdo;
};

NTSTATUS CopyResources(PDEVICE_NODE node, const CM_RESOURCE_LIST* resources) {
  if (resources == nullptr) return STATUS_SUCCESS;
  const ULONG size = ResourceListSize(resources);
  PCM_RESOURCE_LIST* const lists[] = {&node->ResourceList, &node->ResourceListTranslated};
  for (PCM_RESOURCE_LIST* list : lists) {
    *list = static_cast<PCM_RESOURCE_LIST>(ExAllocatePoolWithTag(NonPagedPoolNx, size, kNodeTag));
    if (*list == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
    RtlCopyMemory(*list, resources, size);
  }
  return STATUS_SUCCESS;
}

// The PDO of a device that its driver runs already: its stack gets no start.
NTSTATUS Detect(PVOID context) {
  auto* detection = static_cast<Detection*>(context);
  const UNICODE_STRING& service = detection->driver->DriverExtension->ServiceKeyName;
  Name name, id;
  name.Append(L"LEGACY_").Append(&service);
  id.Append(L"DETECTED\\").Append(&service).Append(L"\0", 2 * sizeof(WCHAR));
  if (!NT_SUCCESS(name.Status()) || !NT_SUCCESS(id.Status())) return STATUS_INSUFFICIENT_RESOURCES;
  const RootDevice root = {name.Get(), id.Get()->Buffer, id.length(), &service, false};
  PDEVICE_NODE node;
  NTSTATUS status = CreateRootPdo(root, &detection->pdo, &node);
  if (!NT_SUCCESS(status)) return status;
  node->Legacy = TRUE;
  status = InitializeNode(node);
  node->InterfaceType = detection->bus_type;
  node->BusNumber = detection->bus_number;
  if (NT_SUCCESS(status)) status = CopyResources(node, detection->resources);
  if (NT_SUCCESS(status)) {
    SetState(node, DeviceNodeStarted);
    ObfReferenceObject(detection->pdo);  // the driver's
    return STATUS_SUCCESS;
  }
  ForgetRootDevice(node);
  RemoveNode(node, true);
  return status;
}

}  // namespace
}  // namespace pnp

/// Has plug and play ask a device again which devices depend on it (bus relations: its children).
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: relations other than BusRelations and SingleBusRelations are not cached, so there is
/// nothing to ask again.
/// Source: WDK wdm/IoInvalidateDeviceRelations.
NT_EXPORT(IoInvalidateDeviceRelations, nt::AtMost(DISPATCH_LEVEL), Full, "PnpBus.*");
extern "C" VOID NTAPI IoInvalidateDeviceRelations(PDEVICE_OBJECT DeviceObject, DEVICE_RELATION_TYPE Type) {
  pnp::NodeOfPdo(DeviceObject);
  if (Type == BusRelations || Type == SingleBusRelations)
    pnp::Queue(pnp::EnumerateAction, DeviceObject, nullptr);
}

/// Has plug and play ask a device's stack for its state (IRP_MN_QUERY_PNP_DEVICE_STATE) and act on it.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoInvalidateDeviceState.
NT_EXPORT(IoInvalidateDeviceState, nt::AtMost(DISPATCH_LEVEL), Full, "PnpState.*");
extern "C" VOID NTAPI IoInvalidateDeviceState(PDEVICE_OBJECT PhysicalDeviceObject) {
  pnp::NodeOfPdo(PhysicalDeviceObject);
  pnp::Queue(pnp::StateAction, PhysicalDeviceObject, nullptr);
}

/// Says that a device's eject button was pressed: it is removed in order, then its bus ejects it.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoRequestDeviceEject.
NT_EXPORT(IoRequestDeviceEject, nt::AtMost(DISPATCH_LEVEL), Full, "PnpBus.Eject*");
extern "C" VOID NTAPI IoRequestDeviceEject(PDEVICE_OBJECT PhysicalDeviceObject) {
  pnp::NodeOfPdo(PhysicalDeviceObject);
  pnp::Queue(pnp::EjectAction, PhysicalDeviceObject, nullptr);
}

/// Reports a device that no bus finds, one a driver: ROOT\SERVICE. It is then set up as any device, by the
/// driver's AddDevice, and comes back at the machine's next start.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/IoReportRootDevice.
NT_EXPORT(IoReportRootDevice, nt::AtMost(PASSIVE_LEVEL), Full, "PnpDevice.*");
extern "C" NTSTATUS NTAPI IoReportRootDevice(PDRIVER_OBJECT DriverObject) {
  const UNICODE_STRING& service = DriverObject->DriverExtension->ServiceKeyName;
  using pnp::RootReport;
  if (service.Length > sizeof(RootReport::id) - 8 * sizeof(WCHAR)) return STATUS_NAME_TOO_LONG;
  auto* report =
      static_cast<RootReport*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(RootReport), kNodeTag));
  if (report == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlZeroMemory(report, sizeof(*report));
  RtlCopyMemory(report->id, L"ROOT\\", 5 * sizeof(WCHAR));
  RtlCopyMemory(report->id + 5, service.Buffer, service.Length);
  report->service = {service.Length, service.Length, report->id + 5};
  const NTSTATUS status = pnp::Queue(pnp::RootReportAction, nullptr, report);
  if (!NT_SUCCESS(status)) ExFreePoolWithTag(report, kNodeTag);
  return status;
}

/// Makes a PDO for a device that a driver found by itself and runs already; or, given a PDO of an earlier
/// call, says that it is attached to it.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: resource requirements are not looked at; the device is gone at the next start unless it
/// is detected again.
/// Source: WDK ntddk/IoReportDetectedDevice.
NT_EXPORT(IoReportDetectedDevice, nt::AtMost(PASSIVE_LEVEL), Partial, "PnpDevice.Detected*");
extern "C" NTSTATUS NTAPI IoReportDetectedDevice(PDRIVER_OBJECT DriverObject, INTERFACE_TYPE LegacyBusType,
                                                 ULONG BusNumber, ULONG, PCM_RESOURCE_LIST ResourceList,
                                                 PIO_RESOURCE_REQUIREMENTS_LIST, BOOLEAN,
                                                 PDEVICE_OBJECT* DeviceObject) {
  if (*DeviceObject != nullptr) {
    pnp::NodeOfPdo(*DeviceObject);
    return pnp::Queue(pnp::DetectedAction, *DeviceObject, nullptr);
  }
  pnp::Detection detection = {DriverObject, LegacyBusType, BusNumber, ResourceList, nullptr};
  const NTSTATUS status = pnp::Run(pnp::Detect, &detection);
  *DeviceObject = NT_SUCCESS(status) ? detection.pdo : nullptr;
  return status;
}
