// The one worker that changes the device tree.
#include "pnp_internal.h"

namespace pnp {
namespace {

struct QueuedAction {
  LIST_ENTRY link;
  NTSTATUS (*action)(PDEVICE_OBJECT device, PVOID context);
  PDEVICE_OBJECT device;  // referenced, or 0
  PVOID context;
};

KSPIN_LOCK g_lock;
LIST_ENTRY g_actions = {&g_actions, &g_actions};
bool g_running;  // the work item is queued or runs
WORK_QUEUE_ITEM g_item;
PKTHREAD g_worker;  // while it runs

QueuedAction* Next() {
  ke::SpinGuard guard(&g_lock);
  if (IsListEmpty(&g_actions)) {
    g_worker = nullptr;
    g_running = false;
    return nullptr;
  }
  g_worker = reinterpret_cast<PKTHREAD>(KeGetCurrentThread());
  return CONTAINING_RECORD(RemoveHeadList(&g_actions), QueuedAction, link);
}

}  // namespace
}  // namespace pnp

static VOID NTAPI PnpDeviceActionWorker(PVOID) {
  while (pnp::QueuedAction* queued = pnp::Next()) {
    queued->action(queued->device, queued->context);
    if (queued->device != nullptr) ObfDereferenceObject(queued->device);
    ExFreePoolWithTag(queued, kNodeTag);
  }
}

namespace pnp {

NTSTATUS Queue(NTSTATUS (*action)(PDEVICE_OBJECT, PVOID), PDEVICE_OBJECT device, PVOID context) {
  auto* queued =
      static_cast<QueuedAction*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(QueuedAction), kNodeTag));
  if (queued == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  *queued = {{}, action, device, context};
  if (device != nullptr) ObfReferenceObject(device);
  bool start;
  {
    ke::SpinGuard guard(&g_lock);
    InsertTailList(&g_actions, &queued->link);
    start = !g_running;
    g_running = true;
  }
  if (start) {
    ExInitializeWorkItem(&g_item, PnpDeviceActionWorker, nullptr);
    ExQueueWorkItem(&g_item, DelayedWorkQueue);
  }
  return STATUS_SUCCESS;
}

namespace {

struct Waiter {
  Action action;
  PVOID context;
  NTSTATUS status;
  KEVENT done;
};

NTSTATUS RunForWaiter(PDEVICE_OBJECT, PVOID context) {
  auto* waiter = static_cast<Waiter*>(context);
  waiter->status = waiter->action(waiter->context);
  KeSetEvent(&waiter->done, 0, FALSE);
  return STATUS_SUCCESS;
}

}  // namespace

NTSTATUS Run(Action action, PVOID context) {
  if (g_worker == reinterpret_cast<PKTHREAD>(KeGetCurrentThread())) return action(context);
  Waiter waiter;
  waiter.action = action;
  waiter.context = context;
  waiter.status = STATUS_UNSUCCESSFUL;
  KeInitializeEvent(&waiter.done, NotificationEvent, FALSE);
  const NTSTATUS status = Queue(RunForWaiter, nullptr, &waiter);
  if (!NT_SUCCESS(status)) return status;
  KeWaitForSingleObject(&waiter.done, Executive, KernelMode, FALSE, nullptr);
  return waiter.status;
}

}  // namespace pnp
