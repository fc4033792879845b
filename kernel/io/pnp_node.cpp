// The device tree.
#include "pnp_internal.h"

PDEVICE_NODE IopRootDeviceNode;

void PnpFatalError(ULONG Kind, PVOID First, ULONG_PTR Second, ULONG_PTR Third) {
  KeBugCheckEx(PNP_DETECTED_FATAL_ERROR, Kind, reinterpret_cast<ULONG_PTR>(First), Second, Third);
}

namespace pnp {
namespace {

void FreePool(PVOID memory) {
  if (memory != nullptr) ExFreePool(memory);
}

}  // namespace

PDEVICE_NODE NodeOfPdo(PDEVICE_OBJECT device) {
  PDEVICE_NODE node = device != nullptr && device->Type == IO_TYPE_DEVICE ? NodeOf(device) : nullptr;
  if (node == nullptr || node->PhysicalDeviceObject != device) {
    const bool device_object = device != nullptr && device->Type == IO_TYPE_DEVICE;
    PnpFatalError(kFatalInvalidPdo, device,
                  device_object ? reinterpret_cast<ULONG_PTR>(device->DriverObject) : 0);
  }
  return node;
}

PDEVICE_NODE CreateNode(PDEVICE_OBJECT pdo) {
  auto* node =
      static_cast<PDEVICE_NODE>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(DEVICE_NODE), kNodeTag));
  if (node == nullptr) return nullptr;
  RtlZeroMemory(node, sizeof(*node));
  node->PhysicalDeviceObject = pdo;
  node->State = node->PreviousState = DeviceNodeUninitialized;
  node->InterfaceType = InterfaceTypeUndefined;
  node->BusNumber = static_cast<ULONG>(-1);
  IopDeviceExtension(pdo)->DeviceNode = node;
  pdo->Flags |= DO_BUS_ENUMERATED_DEVICE;
  return node;
}

void InsertNode(PDEVICE_NODE parent, PDEVICE_NODE node) {
  node->Parent = parent;
  PDEVICE_NODE* link = &parent->Child;
  while (*link != nullptr) link = &(*link)->Sibling;
  *link = node;
}

void UnlinkNode(PDEVICE_NODE node) {
  if (node->Parent == nullptr) return;
  PDEVICE_NODE* link = &node->Parent->Child;
  while (*link != nullptr && *link != node) link = &(*link)->Sibling;
  if (*link == node) *link = node->Sibling;
  node->Sibling = nullptr;
  node->Parent = nullptr;
  SetState(node, DeviceNodeDeleted);
  ObfDereferenceObject(node->PhysicalDeviceObject);
}

bool VisitTree(PDEVICE_NODE node, bool (*visit)(PDEVICE_NODE, PVOID), PVOID context) {
  if (node == nullptr) return true;
  if (!visit(node, context)) return false;
  for (PDEVICE_NODE child = node->Child; child != nullptr;) {
    PDEVICE_NODE next = child->Sibling;
    if (!VisitTree(child, visit, context)) return false;
    child = next;
  }
  return true;
}

PDEVICE_NODE FindNode(PCUNICODE_STRING instance_path) {
  struct Search {
    PCUNICODE_STRING path;
    PDEVICE_NODE found;
  } search = {instance_path, nullptr};
  VisitTree(
      IopRootDeviceNode,
      [](PDEVICE_NODE node, PVOID context) {
        auto* wanted = static_cast<Search*>(context);
        if (!RtlEqualUnicodeString(&node->InstancePath, wanted->path, TRUE)) return true;
        wanted->found = node;
        return false;
      },
      &search);
  return search.found;
}

}  // namespace pnp

extern "C" VOID PnpDeletePdo(PDEVICE_OBJECT DeviceObject) {
  PDEVICE_NODE node = pnp::NodeOf(DeviceObject);
  if (node == nullptr) return;
  if (node->Parent != nullptr) PnpFatalError(kFatalFreedPdo, DeviceObject);
  IopDeviceExtension(DeviceObject)->DeviceNode = nullptr;
  pnp::FreePool(node->BootResources);
  pnp::FreePool(node->ResourceRequirements);
  pnp::FreePool(node->ResourceList);
  pnp::FreePool(node->ResourceListTranslated);
  pnp::FreePool(node->InstancePath.Buffer);
  pnp::FreePool(node->ServiceName.Buffer);
  ExFreePoolWithTag(node, kNodeTag);
}
