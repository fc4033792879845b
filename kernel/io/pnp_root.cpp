// The root of the device tree, and the devices that no bus finds: \Driver\PnpManager is their bus driver.
#include "pnp_answers.h"
#include "po_internal.h"

extern "C" NTSTATUS NTAPI IoCreateDriver(PUNICODE_STRING DriverName,
                                         PDRIVER_INITIALIZE InitializationFunction);

PDRIVER_OBJECT IopPnPDriverObject;

namespace pnp {
namespace {

// The extension of a root-enumerated PDO.
struct RootPdo {
  UNICODE_STRING device_id;    // ROOT\name
  UNICODE_STRING instance_id;  // NNNN
  PWCH hardware_ids;           // REG_MULTI_SZ
  ULONG hardware_ids_length;
  bool present;
};

RootPdo* PdoOf(PDEVICE_OBJECT device) {
  return static_cast<RootPdo*>(device->DeviceExtension);
}

// The root's children come by AddRootDevice, not by enumeration; each machine has one such bus.
constexpr GUID kInternalBus = {0x2530ea73, 0x086b, 0x11d1, {0xa0, 0x9f, 0x00, 0xc0, 0x4f, 0xc3, 0x40, 0xb1}};

NTSTATUS AnswerId(RootPdo* pdo, BUS_QUERY_ID_TYPE type, ULONG_PTR* information) {
  PVOID id = nullptr;
  switch (type) {
    case BusQueryDeviceID:
      id = PagedCopy(pdo->device_id.Buffer, pdo->device_id.Length, sizeof(WCHAR));
      break;
    case BusQueryInstanceID:
      id = PagedCopy(pdo->instance_id.Buffer, pdo->instance_id.Length, sizeof(WCHAR));
      break;
    case BusQueryHardwareIDs:
      id = PagedCopy(pdo->hardware_ids, pdo->hardware_ids_length, 0);
      break;
    default:
      return STATUS_NOT_SUPPORTED;
  }
  *information = reinterpret_cast<ULONG_PTR>(id);
  return id != nullptr ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

NTSTATUS AnswerCapabilities(PDEVICE_CAPABILITIES capabilities) {
  capabilities->UniqueID = TRUE;
  capabilities->SilentInstall = TRUE;
  for (ULONG state = PowerSystemSleeping1; state < PowerSystemMaximum; ++state)
    capabilities->DeviceState[state] = PowerDeviceD3;
  capabilities->DeviceState[PowerSystemWorking] = PowerDeviceD0;
  return STATUS_SUCCESS;
}

NTSTATUS Answer(PDEVICE_OBJECT device, PIRP irp, ULONG_PTR* information) {
  PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  if (IsAgreedTo(stack->MinorFunction)) return STATUS_SUCCESS;
  switch (stack->MinorFunction) {
    case IRP_MN_START_DEVICE:
    case IRP_MN_REMOVE_DEVICE:
      return STATUS_SUCCESS;
    case IRP_MN_QUERY_CAPABILITIES:
      return AnswerCapabilities(stack->Parameters.DeviceCapabilities.Capabilities);
    case IRP_MN_QUERY_ID:
      return AnswerId(PdoOf(device), stack->Parameters.QueryId.IdType, information);
    case IRP_MN_QUERY_BUS_INFORMATION:
      return AnswerBus({kInternalBus, PNPBus, 0}, information);
    case IRP_MN_QUERY_DEVICE_RELATIONS:
      if (stack->Parameters.QueryDeviceRelations.Type == TargetDeviceRelation)
        return AnswerTarget(device, information);
      return irp->IoStatus.Status;
    default:
      return irp->IoStatus.Status;
  }
}

void DeleteRootPdo(PDEVICE_OBJECT device) {
  RootPdo* pdo = PdoOf(device);
  const PWCH texts[] = {pdo->device_id.Buffer, pdo->instance_id.Buffer, pdo->hardware_ids};
  for (PWCH text : texts) {
    if (text != nullptr) ExFreePool(text);
  }
  IoDeleteDevice(device);
}

// 0..9999 as four digits.
NTSTATUS NameInstanceOf(PCUNICODE_STRING name, ULONG number, Name* path) {
  path->Append(L"ROOT\\").Append(name).Append(L"\\").AppendNumber(number, 10, 4);
  path->Upcase();
  return path->Status();
}

NTSTATUS FillRootPdo(PDEVICE_OBJECT device, const RootDevice& root, PCUNICODE_STRING path) {
  RootPdo* pdo = PdoOf(device);
  Name id, instance;
  const USHORT tail = 4 * sizeof(WCHAR);
  id.Append(path->Buffer, path->Length - tail - sizeof(WCHAR));
  instance.Append(path->Buffer + (path->Length - tail) / sizeof(WCHAR), tail);
  if (!NT_SUCCESS(id.Status()) || !NT_SUCCESS(instance.Status())) return STATUS_INSUFFICIENT_RESOURCES;
  pdo->hardware_ids =
      static_cast<PWCH>(ExAllocatePoolWithTag(NonPagedPoolNx, root.hardware_ids_length, kNodeTag));
  if (pdo->hardware_ids == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlCopyMemory(pdo->hardware_ids, root.hardware_ids, root.hardware_ids_length);
  pdo->hardware_ids_length = root.hardware_ids_length;
  pdo->device_id = id.Take();
  pdo->instance_id = instance.Take();
  pdo->present = true;
  return STATUS_SUCCESS;
}

// The node of a new root PDO, with its key and, where it is known, its service.
NTSTATUS EnterRootPdo(PDEVICE_OBJECT device, const RootDevice& root, Name* path, PDEVICE_NODE* result) {
  PDEVICE_NODE node = CreateNode(device);
  if (node == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  node->InstancePath = path->Take();
  node->Persistent = root.persistent;
  node->Reported = TRUE;
  Key key;
  NTSTATUS status = OpenInstanceKey(node, KEY_ALL_ACCESS, true, key.put());
  if (NT_SUCCESS(status) && root.service != nullptr && root.service->Length != 0)
    status = key.SetText(L"Service", root.service);
  *result = node;
  return status;
}

bool NextKey(HANDLE key, ULONG index, Name* name) {
  constexpr ULONG kSize = 600;
  auto* information =
      static_cast<PKEY_BASIC_INFORMATION>(ExAllocatePoolWithTag(NonPagedPoolNx, kSize, kNodeTag));
  if (information == nullptr) return false;
  ULONG length;
  const bool found = NT_SUCCESS(ZwEnumerateKey(key, index, KeyBasicInformation, information, kSize, &length));
  if (found) name->Append(information->Name, information->NameLength);
  ExFreePoolWithTag(information, kNodeTag);
  return found && NT_SUCCESS(name->Status());
}

// Whether the instance key is of a device of this run.
bool IsPresent(PCUNICODE_STRING name, PCUNICODE_STRING instance) {
  Name path;
  path.Append(L"ROOT\\").Append(name).Append(L"\\").Append(instance);
  return NT_SUCCESS(path.Status()) && FindNode(path.Get()) != nullptr;
}

// One instance key of an earlier run of the machine.
void AddKnownDevice(PCUNICODE_STRING name, HANDLE instance) {
  Value hardware_ids, service;
  if (!NT_SUCCESS(hardware_ids.Read(instance, L"HardwareID")) || hardware_ids.Text() == nullptr) return;
  UNICODE_STRING service_name = {};
  if (NT_SUCCESS(service.Read(instance, L"Service")) && service.Text() != nullptr)
    service_name = ob::String(service.Text());
  const RootDevice root = {name, hardware_ids.Text(), hardware_ids.size(), &service_name, true};
  PDEVICE_NODE node;
  AddRootDevice(root, true, &node);
}

}  // namespace
}  // namespace pnp

static NTSTATUS NTAPI PnpRootDispatch(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
  const bool removal = IoGetCurrentIrpStackLocation(Irp)->MinorFunction == IRP_MN_REMOVE_DEVICE;
  const bool gone = removal && pnp::PdoOf(DeviceObject) != nullptr && !pnp::PdoOf(DeviceObject)->present;
  ULONG_PTR information = Irp->IoStatus.Information;
  const NTSTATUS status = pnp::Answer(DeviceObject, Irp, &information);
  Irp->IoStatus.Status = status;
  Irp->IoStatus.Information = information;
  if (gone) pnp::DeleteRootPdo(DeviceObject);
  IofCompleteRequest(Irp, IO_NO_INCREMENT);
  return status;
}

extern "C" NTSTATUS NTAPI PnpPdoPower(PDEVICE_OBJECT, PIRP Irp) {
  const UCHAR minor = IoGetCurrentIrpStackLocation(Irp)->MinorFunction;
  PoStartNextPowerIrp(Irp);
  if (minor == IRP_MN_SET_POWER || minor == IRP_MN_QUERY_POWER) Irp->IoStatus.Status = STATUS_SUCCESS;
  const NTSTATUS status = Irp->IoStatus.Status;
  IofCompleteRequest(Irp, IO_NO_INCREMENT);
  return status;
}

extern "C" NTSTATUS NTAPI PnpPdoPassThrough(PDEVICE_OBJECT, PIRP Irp) {
  const NTSTATUS status = Irp->IoStatus.Status;
  IofCompleteRequest(Irp, IO_NO_INCREMENT);
  return status;
}

static NTSTATUS NTAPI PnpRootEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING) {
  IopPnPDriverObject = DriverObject;
  DriverObject->MajorFunction[IRP_MJ_PNP] = PnpRootDispatch;
  DriverObject->MajorFunction[IRP_MJ_POWER] = PnpPdoPower;
  DriverObject->MajorFunction[IRP_MJ_SYSTEM_CONTROL] = PnpPdoPassThrough;
  return STATUS_SUCCESS;
}

namespace pnp {

NTSTATUS InitializeRoot() {
  InitializeInterfaces();
  po::InitializeSettings();
  UNICODE_STRING name = ob::String(L"\\Driver\\PnpManager");
  NTSTATUS status = IoCreateDriver(&name, PnpRootEntry);
  if (!NT_SUCCESS(status)) return status;
  PDEVICE_OBJECT root;
  status = IoCreateDevice(IopPnPDriverObject, 0, nullptr, FILE_DEVICE_CONTROLLER, 0, FALSE, &root);
  if (!NT_SUCCESS(status)) return status;
  root->Flags &= ~DO_DEVICE_INITIALIZING;
  ObfReferenceObject(root);
  IopRootDeviceNode = CreateNode(root);
  if (IopRootDeviceNode == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  Name path;
  path.Append(L"HTREE\\ROOT\\0");
  IopRootDeviceNode->InstancePath = path.Take();
  SetState(IopRootDeviceNode, DeviceNodeStarted);
  return STATUS_SUCCESS;
}

NTSTATUS CreateRootPdo(const RootDevice& root, PDEVICE_OBJECT* device, PDEVICE_NODE* node) {
  Name path;
  NTSTATUS status = STATUS_SUCCESS;
  for (ULONG number = 0; NT_SUCCESS(status); ++number) {
    path.Truncate(0);
    status = number < 10000 ? NameInstanceOf(root.name, number, &path) : STATUS_OBJECT_NAME_COLLISION;
    if (NT_SUCCESS(status) && FindNode(path.Get()) == nullptr) break;
  }
  if (!NT_SUCCESS(status)) return status;
  status = IoCreateDevice(IopPnPDriverObject, sizeof(RootPdo), nullptr, FILE_DEVICE_CONTROLLER,
                          FILE_AUTOGENERATED_DEVICE_NAME | FILE_DEVICE_SECURE_OPEN, FALSE, device);
  if (!NT_SUCCESS(status)) return status;
  status = FillRootPdo(*device, root, path.Get());
  if (NT_SUCCESS(status)) status = EnterRootPdo(*device, root, &path, node);
  if (!NT_SUCCESS(status)) {
    DeleteRootPdo(*device);
    return status;
  }
  (*device)->Flags &= ~DO_DEVICE_INITIALIZING;
  ObfReferenceObject(*device);
  InsertNode(IopRootDeviceNode, *node);
  return STATUS_SUCCESS;
}

NTSTATUS AddRootDevice(const RootDevice& root, bool bring_up, PDEVICE_NODE* node) {
  PDEVICE_OBJECT device;
  const NTSTATUS status = CreateRootPdo(root, &device, node);
  if (NT_SUCCESS(status) && bring_up) BringUp(*node);
  return status;
}

bool IsRootDevice(PDEVICE_NODE node) {
  return node->Parent == IopRootDeviceNode && node->PhysicalDeviceObject->DriverObject == IopPnPDriverObject;
}

void ForgetRootDevice(PDEVICE_NODE node) {
  PdoOf(node->PhysicalDeviceObject)->present = false;
  node->Reported = FALSE;
  Key key;
  if (!NT_SUCCESS(OpenInstanceKey(node, KEY_ALL_ACCESS, false, key.put()))) return;
  UNICODE_STRING parameters = ob::String(L"Device Parameters");
  Key below;
  if (NT_SUCCESS(below.Open(key.get(), &parameters, DELETE))) ZwDeleteKey(below.get());
  ZwDeleteKey(key.get());
}

namespace {

NTSTATUS AddRootDevicesOfRegistry(PDEVICE_OBJECT, PVOID) {
  UNICODE_STRING path = ob::String(L"\\Registry\\Machine\\System\\CurrentControlSet\\Enum\\ROOT");
  Key root;
  if (!NT_SUCCESS(root.Open(nullptr, &path, KEY_READ))) return STATUS_SUCCESS;
  for (ULONG i = 0;; ++i) {
    Name name;
    if (!NextKey(root.get(), i, &name)) return STATUS_SUCCESS;
    Key device;
    if (!NT_SUCCESS(device.Open(root.get(), name.Get(), KEY_READ))) continue;
    for (ULONG j = 0;; ++j) {
      Name instance_name;
      Key instance;
      if (!NextKey(device.get(), j, &instance_name)) break;
      if (IsPresent(name.Get(), instance_name.Get())) continue;
      if (NT_SUCCESS(instance.Open(device.get(), instance_name.Get(), KEY_READ)))
        AddKnownDevice(name.Get(), instance.get());
    }
  }
}

}  // namespace

void AddRootDevicesLater() {
  Queue(AddRootDevicesOfRegistry, nullptr, nullptr);
}

}  // namespace pnp
