// What a new device says of itself, and which devices a bus has.
#include "pnp_internal.h"

namespace pnp {
namespace {

// Text of a driver's pool that goes with its scope.
class DriverText {
 public:
  explicit DriverText(PWCH text) : text_(text) {}
  ~DriverText() {
    if (text_ != nullptr) ExFreePool(text_);
  }
  DriverText(const DriverText&) = delete;
  DriverText& operator=(const DriverText&) = delete;
  PWCH get() const { return text_; }
  explicit operator bool() const { return text_ != nullptr; }

 private:
  PWCH text_;
};

ULONG HashOf(const UNICODE_STRING& text) {
  ULONG hash = 0;
  RtlHashUnicodeString(&text, TRUE, HASH_STRING_ALGORITHM_X65599, &hash);
  return hash;
}

ULONG DepthOf(PDEVICE_NODE node) {
  ULONG depth = 0;
  for (; node->Parent != nullptr; node = node->Parent) ++depth;
  return depth;
}

// DeviceID\InstanceID; an instance that is unique on its bus only gets its parent's mark in front.
NTSTATUS NameInstance(PDEVICE_NODE node, PCWSTR device_id, PCWSTR instance_id) {
  Name path;
  path.Append(device_id).Append(L"\\");
  if (!node->Capabilities.UniqueID) {
    path.AppendNumber(DepthOf(node), 16, 1).Append(L"&");
    path.AppendNumber(HashOf(node->Parent->InstancePath), 16, 1).Append(L"&0&");
  }
  path.Append(instance_id);
  if (!NT_SUCCESS(path.Status())) return path.Status();
  path.Upcase();
  PDEVICE_NODE known = FindNode(path.Get());
  if (known != nullptr && known != node) {
    if (known->Parent == node->Parent) {
      PnpFatalError(kFatalDuplicatePdo, node->PhysicalDeviceObject,
                    reinterpret_cast<ULONG_PTR>(known->PhysicalDeviceObject));
    }
    return STATUS_OBJECT_NAME_COLLISION;
  }
  if (node->InstancePath.Buffer != nullptr) ExFreePoolWithTag(node->InstancePath.Buffer, kNameTag);
  node->InstancePath = path.Take();
  return STATUS_SUCCESS;
}

ULONG CapabilityFlags(const DEVICE_CAPABILITIES& capabilities) {
  ULONG flags = 0;  // CM_DEVCAP_*
  if (capabilities.LockSupported) flags |= 0x1;
  if (capabilities.EjectSupported) flags |= 0x2;
  if (capabilities.Removable) flags |= 0x4;
  if (capabilities.DockDevice) flags |= 0x8;
  if (capabilities.UniqueID) flags |= 0x10;
  if (capabilities.SilentInstall) flags |= 0x20;
  if (capabilities.RawDeviceOK) flags |= 0x40;
  if (capabilities.SurpriseRemovalOK) flags |= 0x80;
  if (capabilities.HardwareDisabled) flags |= 0x100;
  if (capabilities.NonDynamic) flags |= 0x200;
  return flags;
}

void WriteInstanceKey(PDEVICE_NODE node, PCWSTR hardware_ids, PCWSTR compatible_ids) {
  PDEVICE_OBJECT pdo = node->PhysicalDeviceObject;
  Key key;
  if (!NT_SUCCESS(OpenInstanceKey(node, KEY_ALL_ACCESS, true, key.put()))) return;
  key.SetNumber(L"Capabilities", CapabilityFlags(node->Capabilities));
  if (node->Capabilities.Address != static_cast<ULONG>(-1))
    key.SetNumber(L"Address", node->Capabilities.Address);
  if (node->Capabilities.UINumber != static_cast<ULONG>(-1))
    key.SetNumber(L"UINumber", node->Capabilities.UINumber);
  if (hardware_ids != nullptr)
    key.Set(L"HardwareID", REG_MULTI_SZ, hardware_ids, MultiTextSize(hardware_ids));
  if (compatible_ids != nullptr)
    key.Set(L"CompatibleIDs", REG_MULTI_SZ, compatible_ids, MultiTextSize(compatible_ids));
  const DriverText description(QueryText(pdo, DeviceTextDescription));
  const DriverText location(QueryText(pdo, DeviceTextLocationInformation));
  Value known;
  if (description && !NT_SUCCESS(known.Read(key.get(), L"DeviceDesc")))
    key.SetText(L"DeviceDesc", description.get());
  if (location) key.SetText(L"LocationInformation", location.get());
}

void QueryBus(PDEVICE_NODE node) {
  IO_STACK_LOCATION stack = {};
  stack.MinorFunction = IRP_MN_QUERY_BUS_INFORMATION;
  ULONG_PTR information = 0;
  if (!NT_SUCCESS(Send(node->PhysicalDeviceObject, &stack, &information)) || information == 0) return;
  auto* bus = reinterpret_cast<PPNP_BUS_INFORMATION>(information);
  node->InterfaceType = bus->LegacyBusType;
  node->BusNumber = bus->BusNumber;
  node->BusTypeGuid = bus->BusTypeGuid;
  ExFreePool(bus);
}

void QueryResourceNeeds(PDEVICE_NODE node) {
  IO_STACK_LOCATION stack = {};
  ULONG_PTR information = 0;
  stack.MinorFunction = IRP_MN_QUERY_RESOURCES;
  if (NT_SUCCESS(Send(node->PhysicalDeviceObject, &stack, &information))) {
    if (node->BootResources != nullptr) ExFreePool(node->BootResources);
    node->BootResources = reinterpret_cast<PCM_RESOURCE_LIST>(information);
  }
  stack.MinorFunction = IRP_MN_QUERY_RESOURCE_REQUIREMENTS;
  information = 0;
  if (NT_SUCCESS(Send(node->PhysicalDeviceObject, &stack, &information))) {
    if (node->ResourceRequirements != nullptr) ExFreePool(node->ResourceRequirements);
    node->ResourceRequirements = reinterpret_cast<PIO_RESOURCE_REQUIREMENTS_LIST>(information);
  }
}

// A device that waits for a driver, or whose driver was unloaded.
bool IsDriverless(const DEVICE_NODE* node) {
  return node->State == DeviceNodeRemoved ||
         (node->State == DeviceNodeInitialized && node->Problem == kProblemNoDriver);
}

// What an installation changes: the service, and with the parameters what the bus asks for.
void Install(PDEVICE_NODE node) {
  {
    Key key;
    if (!NT_SUCCESS(OpenInstanceKey(node, KEY_ALL_ACCESS, false, key.put()))) return;
    UNICODE_STRING service = ob::String(L"Service");
    ZwDeleteValueKey(key.get(), &service);  // of an earlier installation
  }
  const DriverText hardware_ids(QueryId(node->PhysicalDeviceObject, BusQueryHardwareIDs));
  const DriverText compatible_ids(QueryId(node->PhysicalDeviceObject, BusQueryCompatibleIDs));
  if (!NT_SUCCESS(ConfigureNode(node, hardware_ids.get(), compatible_ids.get()))) return;
  QueryResourceNeeds(node);
  node->Problem = 0;
  BringUp(node);
}

bool InstallIfMatching(PDEVICE_NODE node, PVOID context) {
  if (node->Parent == nullptr || !IsDriverless(node)) return true;
  bool matches;
  {
    Key key;
    matches = NT_SUCCESS(OpenInstanceKey(node, KEY_READ, false, key.put())) &&
              HasId(key.get(), static_cast<PCUNICODE_STRING>(context));
  }
  if (matches) Install(node);
  return true;
}

PDEVICE_NODE NewChild(PDEVICE_NODE parent, PDEVICE_OBJECT pdo) {
  PDEVICE_NODE node = CreateNode(pdo);
  if (node == nullptr) {
    ObfDereferenceObject(pdo);
    return nullptr;
  }
  InsertNode(parent, node);
  return node;
}

// Enters what a bus reported into the tree; each object comes referenced.
void TakeRelations(PDEVICE_NODE parent, PDEVICE_RELATIONS relations) {
  for (ULONG i = 0; i < relations->Count; ++i) {
    PDEVICE_OBJECT pdo = relations->Objects[i];
    if (pdo == nullptr) PnpFatalError(kFatalNullRelation, parent->PhysicalDeviceObject, relations->Count, i);
    if (IopDeviceExtension(pdo)->ExtensionFlags & DOE_DELETE_PENDING) PnpFatalError(kFatalDeletedPdo, pdo);
    PDEVICE_NODE node = NodeOf(pdo);
    if (node != nullptr) {
      ObfDereferenceObject(pdo);
    } else {
      node = NewChild(parent, pdo);
    }
    if (node != nullptr) node->Reported = TRUE;
  }
  ExFreePool(relations);
}

}  // namespace

NTSTATUS InitializeNode(PDEVICE_NODE node) {
  PDEVICE_OBJECT pdo = node->PhysicalDeviceObject;
  const DriverText device_id(QueryId(pdo, BusQueryDeviceID));
  const DriverText instance_id(QueryId(pdo, BusQueryInstanceID));
  if (!device_id) return STATUS_NO_SUCH_DEVICE;
  NTSTATUS status = QueryCapabilities(pdo, &node->Capabilities);
  if (!NT_SUCCESS(status)) RtlZeroMemory(&node->Capabilities, sizeof(node->Capabilities));
  status = NameInstance(node, device_id.get(), instance_id ? instance_id.get() : L"0");
  if (!NT_SUCCESS(status)) return status;
  const DriverText hardware_ids(QueryId(pdo, BusQueryHardwareIDs));
  const DriverText compatible_ids(QueryId(pdo, BusQueryCompatibleIDs));
  WriteInstanceKey(node, hardware_ids.get(), compatible_ids.get());
  QueryBus(node);
  status = ConfigureNode(node, hardware_ids.get(), compatible_ids.get());
  QueryResourceNeeds(node);
  if (NT_SUCCESS(status)) SetState(node, DeviceNodeInitialized);
  return status;
}

void InstallDevices(PCUNICODE_STRING hardware_id) {
  VisitTree(IopRootDeviceNode, InstallIfMatching, const_cast<PUNICODE_STRING>(hardware_id));
}

void Enumerate(PDEVICE_NODE node) {
  if (!IsStarted(node)) return;
  PDEVICE_RELATIONS relations;
  const NTSTATUS status = QueryRelations(node->PhysicalDeviceObject, BusRelations, &relations);
  if (!NT_SUCCESS(status) && status != STATUS_NOT_SUPPORTED) return;  // nothing is known: all stays
  if (status == STATUS_NOT_SUPPORTED || relations == nullptr) return;
  for (PDEVICE_NODE child = node->Child; child != nullptr; child = child->Sibling) child->Reported = FALSE;
  TakeRelations(node, relations);
  for (PDEVICE_NODE child = node->Child; child != nullptr;) {
    PDEVICE_NODE next = child->Sibling;
    if (!child->Reported) SurpriseRemoveNode(child);
    child = next;
  }
  for (PDEVICE_NODE child = node->Child; child != nullptr;) {
    PDEVICE_NODE next = child->Sibling;
    if (child->State == DeviceNodeUninitialized && child->Problem == 0) BringUp(child);
    child = next;
  }
}

}  // namespace pnp
