// Private to plug and play. One worker (nt!PnpDeviceActionWorker, a system worker at PASSIVE_LEVEL) does all
// that changes the device tree, one action after the other; nothing else touches the tree's links.
#pragma once

#include "driver_internal.h"
#include "pnp_text.h"

#include <wdmguid.h>

inline constexpr ULONG kNodeTag = 'nPnP';

// Windows's names and numbers.
typedef enum _PNP_DEVNODE_STATE {
  DeviceNodeUnspecified = 0x300,
  DeviceNodeUninitialized = 0x301,
  DeviceNodeInitialized = 0x302,
  DeviceNodeDriversAdded = 0x303,
  DeviceNodeResourcesAssigned = 0x304,
  DeviceNodeStarted = 0x308,
  DeviceNodeQueryStopped = 0x309,
  DeviceNodeStopped = 0x30A,
  DeviceNodeQueryRemoved = 0x310,
  DeviceNodeRemovePendingCloses = 0x311,
  DeviceNodeRemoved = 0x312,
  DeviceNodeDeleted = 0x314,
} PNP_DEVNODE_STATE;

// A node lives as long as its PDO, which the tree holds a reference of.
typedef struct _DEVICE_NODE {
  struct _DEVICE_NODE* Sibling;
  struct _DEVICE_NODE* Child;
  struct _DEVICE_NODE* Parent;
  PDEVICE_OBJECT PhysicalDeviceObject;
  PNP_DEVNODE_STATE State;
  PNP_DEVNODE_STATE PreviousState;
  ULONG Problem;                // CM_PROB_*, 0: none
  UNICODE_STRING InstancePath;  // ROOT\TOYBUS\0000, tag kNameTag
  UNICODE_STRING ServiceName;   // tag kNameTag; empty: none
  DEVICE_CAPABILITIES Capabilities;
  PNP_DEVICE_STATE DeviceState;  // what the stack answered last
  INTERFACE_TYPE InterfaceType;  // of the bus that the device is on
  ULONG BusNumber;
  GUID BusTypeGuid;
  PCM_RESOURCE_LIST BootResources;  // paged pool, as the bus driver allocated them
  PIO_RESOURCE_REQUIREMENTS_LIST ResourceRequirements;
  PCM_RESOURCE_LIST ResourceList;  // assigned, raw; tag kNodeTag
  PCM_RESOURCE_LIST ResourceListTranslated;
  BOOLEAN Legacy;      // reported by its driver, which attached itself
  BOOLEAN Reported;    // seen in the enumeration that runs
  BOOLEAN Persistent;  // its key outlives the machine's run
} DEVICE_NODE, *PDEVICE_NODE;

// CM_PROB_* of <cfg.h>.
enum : ULONG {
  kProblemFailedStart = 10,
  kProblemResourceConflict = 12,
  kProblemDisabled = 22,
  kProblemNoDriver = 28,
  kProblemFailedAdd = 31,
  kProblemDriverEntryFailed = 37,
  kProblemDriverNotLoaded = 39,
  kProblemHeldForEject = 47,
  kProblemFailedPostStart = 43,
};

#ifndef PNP_DETECTED_FATAL_ERROR
#define PNP_DETECTED_FATAL_ERROR 0xCA
#endif
inline constexpr ULONG kFatalDuplicatePdo = 1, kFatalInvalidPdo = 2, kFatalInvalidId = 3,
                       kFatalDeletedPdo = 4, kFatalFreedPdo = 5, kFatalNullRelation = 8,
                       kFatalBadDisconnect = 9, kFatalBadCallback = 10;
[[noreturn]] void PnpFatalError(ULONG Kind, PVOID First, ULONG_PTR Second = 0, ULONG_PTR Third = 0);

extern PDEVICE_NODE IopRootDeviceNode;
extern PDRIVER_OBJECT IopPnPDriverObject;

namespace pnp {

inline PDEVICE_NODE NodeOf(PDEVICE_OBJECT device) {
  return device == nullptr ? nullptr : static_cast<PDEVICE_NODE>(IopDeviceExtension(device)->DeviceNode);
}
// The node of a PDO that a routine was given; anything else is bug check 0xCA, 2.
PDEVICE_NODE NodeOfPdo(PDEVICE_OBJECT device);
inline bool IsStarted(const DEVICE_NODE* node) {
  return node->State == DeviceNodeStarted;
}
inline void SetState(PDEVICE_NODE node, PNP_DEVNODE_STATE state) {
  node->PreviousState = node->State;
  node->State = state;
}

// ---- tree (pnp_node.cpp) ----
PDEVICE_NODE CreateNode(PDEVICE_OBJECT pdo);  // 0: no memory
void InsertNode(PDEVICE_NODE parent, PDEVICE_NODE node);
void UnlinkNode(PDEVICE_NODE node);  // and gives the tree's reference of the PDO back
PDEVICE_NODE FindNode(PCUNICODE_STRING instance_path);
// Every node, parents first; false from `visit` ends it.
bool VisitTree(PDEVICE_NODE node, bool (*visit)(PDEVICE_NODE node, PVOID context), PVOID context);

// ---- worker (pnp_worker.cpp) ----
using Action = NTSTATUS (*)(PVOID context);
// Queues an action on a device (or none), which is referenced until it is over. IRQL <= DISPATCH_LEVEL.
NTSTATUS Queue(NTSTATUS (*action)(PDEVICE_OBJECT device, PVOID context), PDEVICE_OBJECT device,
               PVOID context);
// Runs an action in the worker and waits; in the worker itself at once. PASSIVE_LEVEL.
NTSTATUS Run(Action action, PVOID context);

// ---- requests (pnp_irp.cpp) ----
// Sends an IRP_MJ_PNP request to the stack of `device` and waits. `information` goes in and out.
// PASSIVE_LEVEL.
NTSTATUS Send(PDEVICE_OBJECT device, PIO_STACK_LOCATION stack, ULONG_PTR* information);
NTSTATUS SendMinor(PDEVICE_OBJECT device, UCHAR minor);
// An identifier out of the bus driver's pool, checked (0xCA, 3); 0: it has none. Freed by ExFreePool.
PWCH QueryId(PDEVICE_OBJECT pdo, BUS_QUERY_ID_TYPE type);
PWCH QueryText(PDEVICE_OBJECT pdo, DEVICE_TEXT_TYPE type);
NTSTATUS QueryCapabilities(PDEVICE_OBJECT device, PDEVICE_CAPABILITIES capabilities);
NTSTATUS QueryRelations(PDEVICE_OBJECT device, DEVICE_RELATION_TYPE type, PDEVICE_RELATIONS* relations);

// ---- life (pnp_start.cpp, pnp_enumerate.cpp, pnp_remove.cpp); in the worker ----
// From "just reported" to "started", with its children, or to a problem.
void BringUp(PDEVICE_NODE node);
NTSTATUS InitializeNode(PDEVICE_NODE node);  // identifiers, capabilities, registry key
// Brings up every device with this identifier that runs no driver, with what the database now says.
void InstallDevices(PCUNICODE_STRING hardware_id);
NTSTATUS CallAddDevice(PDEVICE_NODE node);
NTSTATUS StartNode(PDEVICE_NODE node);
void Enumerate(PDEVICE_NODE node);
void CheckDeviceState(PDEVICE_NODE node);
NTSTATUS StopAndRestart(PDEVICE_NODE node);
// Query-remove of the node and its children, then their removal. `findings`: unload no driver here.
NTSTATUS RemoveNode(PDEVICE_NODE node, bool keep_driver);
// The device has gone.
void SurpriseRemoveNode(PDEVICE_NODE node);
NTSTATUS EjectNode(PDEVICE_NODE node);
void FailNode(PDEVICE_NODE node, ULONG problem);
// The removals that waited for the last close of a file (pnp_remove.cpp).
void FinishPendingRemovals();

// ---- resources (pnp_resources.cpp) ----
NTSTATUS AssignResources(PDEVICE_NODE node);
void ReleaseResources(PDEVICE_NODE node);
ULONG ResourceListSize(const CM_RESOURCE_LIST* list);

// ---- registry (pnp_registry.cpp) ----
// ...\Enum\<instance path>
NTSTATUS OpenInstanceKey(PDEVICE_NODE node, ACCESS_MASK access, bool create, HANDLE* key);
// Service, class and filters for a device by its identifiers, written into its key.
NTSTATUS ConfigureNode(PDEVICE_NODE node, PCWSTR hardware_ids, PCWSTR compatible_ids);
NTSTATUS MapHardwareId(PCUNICODE_STRING hardware_id, PCUNICODE_STRING service, bool persistent);
// A number for the Device Parameters of devices that get their service by this identifier; `name` may begin
// with a path of keys.
NTSTATUS MapParameter(PCUNICODE_STRING hardware_id, PCUNICODE_STRING name, ULONG number);
// Whether a device's identifiers in its key contain this one.
bool HasId(HANDLE instance, PCUNICODE_STRING id);

// ---- root (pnp_root.cpp) ----
NTSTATUS InitializeRoot();
// A root-enumerated device; `hardware_ids`: a REG_MULTI_SZ's content. In the worker. The node is brought up.
struct RootDevice {
  PCUNICODE_STRING name;  // ROOT\name\NNNN
  PCWCH hardware_ids;
  ULONG hardware_ids_length;  // bytes
  PCUNICODE_STRING service;   // 0 or empty: by its hardware identifier
  bool persistent;
};
NTSTATUS AddRootDevice(const RootDevice& device, bool bring_up, PDEVICE_NODE* node);
NTSTATUS CreateRootPdo(const RootDevice& root, PDEVICE_OBJECT* device, PDEVICE_NODE* node);
bool IsRootDevice(PDEVICE_NODE node);
void ForgetRootDevice(PDEVICE_NODE node);  // the next enumeration of the root misses it
void AddRootDevicesLater();                // those that the registry keeps from an earlier run

// ---- interfaces and notification ----
void InitializeInterfaces();
void DisableInterfacesOf(PDEVICE_NODE node);
void ForgetInterfacesOf(PDEVICE_NODE node);  // the node leaves the tree
// Calls the target-device registrations of a device's stack. query: the first refusal is returned.
NTSTATUS NotifyTarget(PDEVICE_OBJECT pdo, const GUID& event);
void NotifyInterfaceChange(const GUID& event, const GUID& interface_class, PUNICODE_STRING link);
void InitializeControl();
// Removes, in order, every device that the driver has a part in; its image stays.
NTSTATUS RemoveDevicesOf(PDRIVER_OBJECT driver);

}  // namespace pnp

extern "C" {
// The PDO's memory goes: its node with it (io's device deletion).
VOID PnpDeletePdo(PDEVICE_OBJECT DeviceObject);
// A file was closed while removals wait for that. IRQL <= DISPATCH_LEVEL.
VOID PnpDeviceClosed();
extern volatile LONG PnpRemovalsPending;
}
