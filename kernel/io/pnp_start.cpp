// A device on its way up: its drivers' AddDevice, resources, start.
#include "pnp_internal.h"

namespace pnp {
namespace {

// The driver of a service, loaded if it is not, referenced. Waits for a DriverEntry that runs.
NTSTATUS LoadService(PCUNICODE_STRING name, PDRIVER_OBJECT* driver) {
  NTSTATUS status = io::ReferenceDriver(name, driver);
  if (!NT_SUCCESS(status)) {
    auto* detail =
        static_cast<io::LoadDetail*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(io::LoadDetail), kNodeTag));
    if (detail == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
    UNICODE_STRING key;
    status = io::ServiceKeyOf(name, &key);
    if (NT_SUCCESS(status)) {
      status = io::LoadDriver(&key, detail);
      ExFreePoolWithTag(key.Buffer, kNameTag);
      if (detail->length != 0) DbgPrint("pnp: %wZ: %s", name, detail->text);
    }
    ExFreePoolWithTag(detail, kNodeTag);
    if (!NT_SUCCESS(status) && status != STATUS_IMAGE_ALREADY_LOADED) return status;
    status = io::ReferenceDriver(name, driver);
    if (!NT_SUCCESS(status)) return status;
  }
  KeWaitForSingleObject(&IopDriverExtensionOf(*driver)->EntryDone, Executive, KernelMode, FALSE, nullptr);
  return STATUS_SUCCESS;
}

// Calls the AddDevice of a service's driver.
NTSTATUS AddService(PDEVICE_NODE node, PCUNICODE_STRING service, ULONG* problem) {
  PDRIVER_OBJECT driver;
  *problem = kProblemDriverNotLoaded;
  NTSTATUS status = LoadService(service, &driver);
  if (!NT_SUCCESS(status)) return status;
  *problem = kProblemFailedAdd;
  PDRIVER_ADD_DEVICE add = driver->DriverExtension->AddDevice;
  status = add != nullptr ? add(driver, node->PhysicalDeviceObject) : STATUS_INVALID_DEVICE_REQUEST;
  ObfDereferenceObject(driver);
  return status;
}

// The drivers that a REG_MULTI_SZ value of a key names, one after the other.
NTSTATUS AddFilters(PDEVICE_NODE node, HANDLE key, const wchar_t* value_name, ULONG* problem) {
  Value value;
  if (key == nullptr || !NT_SUCCESS(value.Read(key, value_name)) || value.Text() == nullptr)
    return STATUS_SUCCESS;
  for (PCWSTR name = value.Text(); *name != 0;) {
    const UNICODE_STRING service = ob::String(name);
    const NTSTATUS status = AddService(node, &service, problem);
    if (!NT_SUCCESS(status)) return status;
    name += service.Length / sizeof(WCHAR) + 1;
  }
  return STATUS_SUCCESS;
}

// The device's setup class's key, or none.
void OpenClassKey(HANDLE instance, Key* key) {
  Value guid;
  if (!NT_SUCCESS(guid.Read(instance, L"ClassGUID")) || guid.Text() == nullptr) return;
  Name path;
  path.Append(L"\\Registry\\Machine\\System\\CurrentControlSet\\Control\\Class\\").Append(guid.Text());
  if (NT_SUCCESS(path.Status())) key->Open(nullptr, path.Get(), KEY_READ);
}

NTSTATUS SendStart(PDEVICE_NODE node) {
  IO_STACK_LOCATION stack = {};
  stack.MinorFunction = IRP_MN_START_DEVICE;
  stack.Parameters.StartDevice.AllocatedResources = node->ResourceList;
  stack.Parameters.StartDevice.AllocatedResourcesTranslated = node->ResourceListTranslated;
  return Send(node->PhysicalDeviceObject, &stack, nullptr);
}

NTSTATUS RestartAction(PDEVICE_OBJECT pdo, PVOID) {
  PDEVICE_NODE node = NodeOf(pdo);
  return node != nullptr ? StopAndRestart(node) : STATUS_NO_SUCH_DEVICE;
}

void FinishStart(PDEVICE_NODE node) {
  SetState(node, DeviceNodeStarted);
  DEVICE_CAPABILITIES capabilities;
  if (NT_SUCCESS(QueryCapabilities(node->PhysicalDeviceObject, &capabilities)))
    node->Capabilities = capabilities;
  CheckDeviceState(node);
}

}  // namespace

void FailNode(PDEVICE_NODE node, ULONG problem) {
  node->Problem = problem;
  DbgPrint("pnp: %wZ: problem %u\n", &node->InstancePath, problem);
}

// Windows's order, from the PDO upwards: lower filters of device and class, the function driver, upper
// filters.
NTSTATUS CallAddDevice(PDEVICE_NODE node) {
  Key instance, device_class;
  NTSTATUS status = OpenInstanceKey(node, KEY_READ, false, instance.put());
  if (!NT_SUCCESS(status)) return status;
  OpenClassKey(instance.get(), &device_class);
  ULONG problem = 0;
  status = AddFilters(node, instance.get(), L"LowerFilters", &problem);
  if (NT_SUCCESS(status)) status = AddFilters(node, device_class.get(), L"LowerFilters", &problem);
  if (NT_SUCCESS(status) && node->ServiceName.Length != 0)
    status = AddService(node, &node->ServiceName, &problem);
  if (NT_SUCCESS(status)) status = AddFilters(node, instance.get(), L"UpperFilters", &problem);
  if (NT_SUCCESS(status)) status = AddFilters(node, device_class.get(), L"UpperFilters", &problem);
  if (NT_SUCCESS(status)) {
    SetState(node, DeviceNodeDriversAdded);
    return STATUS_SUCCESS;
  }
  SendMinor(node->PhysicalDeviceObject, IRP_MN_REMOVE_DEVICE);  // those that were added go again
  FailNode(node, problem);
  return status;
}

NTSTATUS StartNode(PDEVICE_NODE node) {
  const bool restart = node->State == DeviceNodeStopped;
  NTSTATUS status = AssignResources(node);
  if (!NT_SUCCESS(status)) {
    FailNode(node, kProblemResourceConflict);
    SendMinor(node->PhysicalDeviceObject, IRP_MN_REMOVE_DEVICE);
    return status;
  }
  SetState(node, DeviceNodeResourcesAssigned);
  status = SendStart(node);
  if (NT_SUCCESS(status)) {
    FinishStart(node);
    return STATUS_SUCCESS;
  }
  FailNode(node, kProblemFailedStart);
  if (restart) SendMinor(node->PhysicalDeviceObject, IRP_MN_SURPRISE_REMOVAL);
  SendMinor(node->PhysicalDeviceObject, IRP_MN_REMOVE_DEVICE);
  ReleaseResources(node);
  SetState(node, DeviceNodeRemoved);
  return status;
}

void BringUp(PDEVICE_NODE node) {
  if (node->State == DeviceNodeUninitialized) {
    const NTSTATUS status = InitializeNode(node);
    if (!NT_SUCCESS(status)) {
      FailNode(node, kProblemNoDriver);
      return;
    }
  }
  if (node->ServiceName.Length == 0 && !node->Capabilities.RawDeviceOK) {
    FailNode(node, kProblemNoDriver);
    return;
  }
  if (!NT_SUCCESS(CallAddDevice(node)) || !NT_SUCCESS(StartNode(node))) return;
  Enumerate(node);
}

void CheckDeviceState(PDEVICE_NODE node) {
  IO_STACK_LOCATION stack = {};
  stack.MinorFunction = IRP_MN_QUERY_PNP_DEVICE_STATE;
  ULONG_PTR information = 0;
  if (!NT_SUCCESS(Send(node->PhysicalDeviceObject, &stack, &information))) return;
  node->DeviceState = static_cast<PNP_DEVICE_STATE>(information);
  if (node->DeviceState & (PNP_DEVICE_FAILED | PNP_DEVICE_REMOVED)) {
    node->Problem = kProblemFailedPostStart;
    SurpriseRemoveNode(node);
  } else if (node->DeviceState & PNP_DEVICE_DISABLED) {
    if (NT_SUCCESS(RemoveNode(node, true))) node->Problem = kProblemDisabled;
  } else if (node->DeviceState & PNP_DEVICE_RESOURCE_REQUIREMENTS_CHANGED) {
    Queue(RestartAction, node->PhysicalDeviceObject, nullptr);  // as an action of its own: it asks again
  }
}

}  // namespace pnp
