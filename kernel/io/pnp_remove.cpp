// Devices on their way down: query-remove and remove, surprise removal, ejection, stop.
#include "pnp_internal.h"

volatile LONG PnpRemovalsPending;

namespace pnp {
namespace {

bool IsUp(PDEVICE_NODE node) {
  return node->State == DeviceNodeStarted || node->State == DeviceNodeDriversAdded ||
         node->State == DeviceNodeResourcesAssigned || node->State == DeviceNodeStopped;
}

// Children first, as a device may go only when nothing depends on it.
NTSTATUS QueryRemoveSubtree(PDEVICE_NODE node) {
  for (PDEVICE_NODE child = node->Child; child != nullptr; child = child->Sibling) {
    const NTSTATUS status = QueryRemoveSubtree(child);
    if (!NT_SUCCESS(status)) return status;
  }
  if (!IsUp(node)) return STATUS_SUCCESS;
  NTSTATUS status = NotifyTarget(node->PhysicalDeviceObject, GUID_TARGET_DEVICE_QUERY_REMOVE);
  SetState(node, DeviceNodeQueryRemoved);  // from here on a refusal is followed by the cancellation
  if (!NT_SUCCESS(status)) return status;
  if (IopStackHasOpenFiles(node->PhysicalDeviceObject)) return STATUS_DEVICE_BUSY;
  return SendMinor(node->PhysicalDeviceObject, IRP_MN_QUERY_REMOVE_DEVICE);
}

void CancelRemoveSubtree(PDEVICE_NODE node) {
  if (node->State == DeviceNodeQueryRemoved) {
    SendMinor(node->PhysicalDeviceObject, IRP_MN_CANCEL_REMOVE_DEVICE);
    node->State = node->PreviousState;
    NotifyTarget(node->PhysicalDeviceObject, GUID_TARGET_DEVICE_REMOVE_CANCELLED);
  }
  for (PDEVICE_NODE child = node->Child; child != nullptr; child = child->Sibling) CancelRemoveSubtree(child);
}

// The drivers of a stack, which are unloaded when it was their last device.
class StackDrivers {
 public:
  explicit StackDrivers(PDEVICE_OBJECT pdo) { count_ = IopReferenceStackDrivers(pdo, drivers_, kMost); }
  ~StackDrivers() {
    for (ULONG i = 0; i < count_; ++i) ObfDereferenceObject(drivers_[i]);
  }
  StackDrivers(const StackDrivers&) = delete;
  StackDrivers& operator=(const StackDrivers&) = delete;
  void UnloadIdle() {
    for (ULONG i = 0; i < count_; ++i) Unload(drivers_[i]);
  }

 private:
  static constexpr ULONG kMost = 16;

  static void Unload(PDRIVER_OBJECT driver) {
    const bool plug_and_play = driver->DriverExtension->AddDevice != nullptr;
    if (!plug_and_play || driver->DeviceObject != nullptr || driver->DriverUnload == nullptr) return;
    auto* findings =
        static_cast<io::Findings*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(io::Findings), kNodeTag));
    if (findings == nullptr) return;
    io::UnloadDriver(&IopDriverExtensionOf(driver)->RegistryPath, findings);
    if (findings->length != 0) DbgPrint("pnp: left behind: %s", findings->text);
    ExFreePoolWithTag(findings, kNodeTag);
  }

  PDRIVER_OBJECT drivers_[kMost];
  ULONG count_;
};

// Sends the final request. The node leaves the tree unless its bus still reports the device.
void FinishRemoval(PDEVICE_NODE node, bool keep_driver, bool stays) {
  while (node->Child != nullptr) FinishRemoval(node->Child, keep_driver, false);
  PDEVICE_OBJECT pdo = node->PhysicalDeviceObject;
  ObfReferenceObject(pdo);
  {
    StackDrivers drivers(pdo);
    const bool stacked = node->State != DeviceNodeUninitialized && node->State != DeviceNodeInitialized &&
                         node->State != DeviceNodeRemoved;
    if (stacked || !stays) SendMinor(pdo, IRP_MN_REMOVE_DEVICE);
    ReleaseResources(node);
    SetState(node, DeviceNodeRemoved);
    if (stacked) NotifyTarget(pdo, GUID_TARGET_DEVICE_REMOVE_COMPLETE);
    if (!stays) {
      ForgetInterfacesOf(node);
      UnlinkNode(node);
    }
    if (!keep_driver) drivers.UnloadIdle();
  }
  ObfDereferenceObject(pdo);
}

void SurpriseSubtree(PDEVICE_NODE node) {
  for (PDEVICE_NODE child = node->Child; child != nullptr; child = child->Sibling) SurpriseSubtree(child);
  if (!IsUp(node)) return;
  DisableInterfacesOf(node);
  SendMinor(node->PhysicalDeviceObject, IRP_MN_SURPRISE_REMOVAL);
  SetState(node, DeviceNodeRemovePendingCloses);
}

bool HasOpenFiles(PDEVICE_NODE node) {
  return !VisitTree(
      node, [](PDEVICE_NODE at, PVOID) { return !IopStackHasOpenFiles(at->PhysicalDeviceObject); }, nullptr);
}

NTSTATUS FinishAction(PDEVICE_OBJECT, PVOID) {
  FinishPendingRemovals();
  return STATUS_SUCCESS;
}

void DisableSubtree(PDEVICE_NODE node) {
  VisitTree(
      node,
      [](PDEVICE_NODE at, PVOID) {
        DisableInterfacesOf(at);
        return true;
      },
      nullptr);
}

}  // namespace

NTSTATUS RemoveNode(PDEVICE_NODE node, bool keep_driver) {
  const NTSTATUS status = QueryRemoveSubtree(node);
  if (!NT_SUCCESS(status)) {
    CancelRemoveSubtree(node);
    if (IsRootDevice(node)) node->Reported = TRUE;
    return status;
  }
  DisableSubtree(node);
  if (!node->Reported && IsRootDevice(node)) ForgetRootDevice(node);
  FinishRemoval(node, keep_driver, node->Reported != FALSE);
  return STATUS_SUCCESS;
}

void SurpriseRemoveNode(PDEVICE_NODE node) {
  if (node->State == DeviceNodeRemovePendingCloses) return;
  SurpriseSubtree(node);
  if (HasOpenFiles(node)) {
    if (node->State != DeviceNodeRemovePendingCloses) SetState(node, DeviceNodeRemovePendingCloses);
    InterlockedIncrement(&PnpRemovalsPending);
    // The last file may have been closed in between: one look later nothing is missed.
    Queue(FinishAction, nullptr, nullptr);
    return;
  }
  FinishRemoval(node, false, node->Reported != FALSE);
}

void FinishPendingRemovals() {
  for (;;) {
    PDEVICE_NODE found = nullptr;
    VisitTree(
        IopRootDeviceNode,
        [](PDEVICE_NODE node, PVOID context) {
          const bool top = node->State == DeviceNodeRemovePendingCloses &&
                           (node->Parent == nullptr || node->Parent->State != DeviceNodeRemovePendingCloses);
          if (!top || HasOpenFiles(node)) return true;
          *static_cast<PDEVICE_NODE*>(context) = node;
          return false;
        },
        &found);
    if (found == nullptr) return;
    InterlockedDecrement(&PnpRemovalsPending);
    FinishRemoval(found, false, found->Reported != FALSE);
  }
}

NTSTATUS EjectNode(PDEVICE_NODE node) {
  if (!node->Capabilities.EjectSupported) return STATUS_INVALID_DEVICE_REQUEST;
  const NTSTATUS status = QueryRemoveSubtree(node);
  if (!NT_SUCCESS(status)) {
    CancelRemoveSubtree(node);
    return status;
  }
  PDEVICE_NODE bus = node->Parent;
  DisableSubtree(node);
  FinishRemoval(node, false, true);
  node->Problem = kProblemHeldForEject;
  const NTSTATUS ejected = SendMinor(node->PhysicalDeviceObject, IRP_MN_EJECT);
  Enumerate(bus);  // the bus does not report it any more, if it is out
  return ejected;
}

NTSTATUS StopAndRestart(PDEVICE_NODE node) {
  if (!IsStarted(node)) return STATUS_INVALID_DEVICE_STATE;
  NTSTATUS status = SendMinor(node->PhysicalDeviceObject, IRP_MN_QUERY_STOP_DEVICE);
  if (!NT_SUCCESS(status)) {
    SendMinor(node->PhysicalDeviceObject, IRP_MN_CANCEL_STOP_DEVICE);
    return status;
  }
  SetState(node, DeviceNodeQueryStopped);
  SendMinor(node->PhysicalDeviceObject, IRP_MN_STOP_DEVICE);
  SetState(node, DeviceNodeStopped);
  ReleaseResources(node);
  return StartNode(node);
}

}  // namespace pnp

extern "C" VOID PnpDeviceClosed() {
  pnp::Queue(pnp::FinishAction, nullptr, nullptr);
}
