// The system's power transitions, and what drivers say of them.
#include "nt/export.h"
#include "po_internal.h"

namespace po {
namespace {

SYSTEM_POWER_STATE g_state = PowerSystemWorking;

struct Transition {
  Request request;
  NTSTATUS status;
};

// Stacks get system requests as soon as their drivers are there.
bool TakesPower(PDEVICE_NODE node) {
  return node->Parent != nullptr && (node->State == DeviceNodeStarted || node->State == DeviceNodeStopped);
}

// Children first, on the way down. Ends at the first refusal.
NTSTATUS SendUpwards(PDEVICE_NODE node, const Request& request, bool query) {
  for (PDEVICE_NODE child = node->Child; child != nullptr; child = child->Sibling) {
    const NTSTATUS status = SendUpwards(child, request, query);
    if (query && !NT_SUCCESS(status)) return status;
  }
  return TakesPower(node) ? SendAndWait(node->PhysicalDeviceObject, request) : STATUS_SUCCESS;
}

// Parents first, on the way up.
void SendDownwards(PDEVICE_NODE node, const Request& request) {
  if (TakesPower(node)) SendAndWait(node->PhysicalDeviceObject, request);
  for (PDEVICE_NODE child = node->Child; child != nullptr; child = child->Sibling)
    SendDownwards(child, request);
}

Request SystemRequest(UCHAR minor, SYSTEM_POWER_STATE state, POWER_ACTION action) {
  Request request = {minor, SystemPowerState, {}, action};
  request.state.SystemState = state;
  return request;
}

// \Callback\PowerState, PO_CB_SYSTEM_STATE_LOCK: 0 before the system leaves S0, 1 when it is back.
void NotifyStateLock(ULONG_PTR working) {
  constexpr ULONG_PTR kSystemStateLock = 3;
  UNICODE_STRING name = ob::String(L"\\Callback\\PowerState");
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
  PCALLBACK_OBJECT callback;
  if (!NT_SUCCESS(ExCreateCallback(&callback, &attributes, FALSE, TRUE))) return;
  ExNotifyCallback(callback, reinterpret_cast<PVOID>(kSystemStateLock), reinterpret_cast<PVOID>(working));
  ObfDereferenceObject(callback);
}

NTSTATUS SleepAction(PVOID context) {
  const auto state = *static_cast<SYSTEM_POWER_STATE*>(context);
  if (g_state != PowerSystemWorking) return STATUS_INVALID_DEVICE_STATE;
  const POWER_ACTION action = state == PowerSystemHibernate ? PowerActionHibernate : PowerActionSleep;
  NTSTATUS status = SendUpwards(IopRootDeviceNode, SystemRequest(IRP_MN_QUERY_POWER, state, action), true);
  if (!NT_SUCCESS(status)) {  // who agreed hears that the system goes on working
    SendDownwards(IopRootDeviceNode, SystemRequest(IRP_MN_SET_POWER, PowerSystemWorking, action));
    return status;
  }
  NotifyStateLock(0);
  SendUpwards(IopRootDeviceNode, SystemRequest(IRP_MN_SET_POWER, state, action), false);
  g_state = state;
  return STATUS_SUCCESS;
}

NTSTATUS WakeAction(PVOID) {
  if (g_state == PowerSystemWorking) return STATUS_INVALID_DEVICE_STATE;
  g_state = PowerSystemWorking;
  SendDownwards(IopRootDeviceNode, SystemRequest(IRP_MN_SET_POWER, PowerSystemWorking, PowerActionSleep));
  NotifyStateLock(1);
  return STATUS_SUCCESS;
}

NTSTATUS QueuedWake(PDEVICE_OBJECT, PVOID) {
  return WakeAction(nullptr);
}

NTSTATUS ShutdownAction(PVOID) {
  SendUpwards(IopRootDeviceNode, SystemRequest(IRP_MN_SET_POWER, PowerSystemShutdown, PowerActionShutdown),
              false);
  return STATUS_SUCCESS;
}

// A registration of PoRegisterSystemState.
struct SystemNeed {
  EXECUTION_STATE flags;
};
constexpr EXECUTION_STATE kKnownFlags =
    ES_SYSTEM_REQUIRED | ES_DISPLAY_REQUIRED | ES_USER_PRESENT | ES_CONTINUOUS;

}  // namespace

void NoteWake() {
  if (g_state != PowerSystemWorking) pnp::Queue(QueuedWake, nullptr, nullptr);
}
NTSTATUS Sleep(SYSTEM_POWER_STATE state) {
  if (state < PowerSystemSleeping1 || state > PowerSystemHibernate) return STATUS_INVALID_PARAMETER;
  return pnp::Run(SleepAction, &state);
}
NTSTATUS Wake() {
  return pnp::Run(WakeAction, nullptr);
}
void ShutDownDevices() {
  pnp::Run(ShutdownAction, nullptr);
}
SYSTEM_POWER_STATE SystemState() {
  return g_state;
}

}  // namespace po

/// Says that the system, its display or its user are needed until PoUnregisterSystemState; with a handle of
/// an earlier call, changes what that one says.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none; the machine does not go to sleep by itself, so nothing follows from it.
/// Source: WDK wdm/PoRegisterSystemState.
NT_EXPORT(PoRegisterSystemState, nt::AtMost(APC_LEVEL), Full, "PoState.*");
extern "C" PVOID NTAPI PoRegisterSystemState(PVOID StateHandle, EXECUTION_STATE Flags) {
  if (Flags & ~po::kKnownFlags) return nullptr;
  auto* need = static_cast<po::SystemNeed*>(StateHandle);
  if (need == nullptr)
    need = static_cast<po::SystemNeed*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*need), 'tSoP'));
  if (need != nullptr) need->flags = Flags | ES_CONTINUOUS;
  return need;
}

/// Ends what PoRegisterSystemState said.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/PoUnregisterSystemState.
NT_EXPORT(PoUnregisterSystemState, nt::AtMost(APC_LEVEL), Full, "PoState.*");
extern "C" VOID NTAPI PoUnregisterSystemState(PVOID StateHandle) {
  ExFreePoolWithTag(StateHandle, 'tSoP');
}

/// Says that the system, its display or its user was needed now: idle counting begins anew.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none; the machine counts no idle time.
/// Source: WDK wdm/PoSetSystemState.
NT_EXPORT(PoSetSystemState, nt::AtMost(DISPATCH_LEVEL), Full, "PoState.*");
extern "C" VOID NTAPI PoSetSystemState(EXECUTION_STATE) {}
