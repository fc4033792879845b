// Power requests: one device request of a stack at a time, watched.
#include "io/power.h"
#include "po_internal.h"

#include "ke/ke.h"
#include "nt/export.h"

#ifndef DRIVER_POWER_STATE_FAILURE
#define DRIVER_POWER_STATE_FAILURE 0x9F
#endif

extern "C" PUNICODE_STRING KiBugCheckDriver;

namespace po {
namespace {

constexpr ULONG kPowerTag = 'rwPo';
ULONG g_watchdog_seconds = 600;       // Windows's ten minutes for one request
constexpr ULONG_PTR kIrpBlocked = 3;  // 0x9F, parameter 1

// A request on its way or waiting for its turn.
struct PowerIrp {
  LIST_ENTRY link;
  PIRP irp;
  PDEVICE_OBJECT device;  // whose driver asked; referenced
  PDEVICE_OBJECT base;    // the stack's PDO: requests to one stack are one after the other; referenced
  PDEVICE_OBJECT top;     // referenced
  UCHAR minor;
  POWER_STATE state;
  PREQUEST_POWER_COMPLETE completion;
  PVOID context;
  PKEVENT done;  // the system's own requests
  bool sent;
  LARGE_INTEGER deadline;  // interrupt time
  KTIMER watchdog;
  KDPC watchdog_dpc;
  WORK_QUEUE_ITEM item;
};

KSPIN_LOCK g_lock;
LIST_ENTRY g_requests = {&g_requests, &g_requests};

// The driver to whose device the request went last still has it.
VOID NTAPI WatchdogDpc(PKDPC, PVOID context, PVOID, PVOID) {
  auto* request = static_cast<PowerIrp*>(context);
  const PDRIVER_OBJECT holder = IoGetCurrentIrpStackLocation(request->irp)->DeviceObject->DriverObject;
  if (holder->DriverSection != nullptr)
    KiBugCheckDriver = &static_cast<PKLDR_DATA_TABLE_ENTRY>(holder->DriverSection)->BaseDllName;
  KeBugCheckEx(DRIVER_POWER_STATE_FAILURE, kIrpBlocked, reinterpret_cast<ULONG_PTR>(request->base), 0,
               reinterpret_cast<ULONG_PTR>(request->irp));
}

// Device requests of one stack exclude each other; IRP_MN_WAIT_WAKE may be pending beside them.
bool Excludes(const PowerIrp* one, const PowerIrp* other) {
  return one->base == other->base && one->minor != IRP_MN_WAIT_WAKE && other->minor != IRP_MN_WAIT_WAKE;
}

bool MaySend(const PowerIrp* request) {
  for (LIST_ENTRY* at = g_requests.Flink; at != &g_requests; at = at->Flink) {
    auto* other = CONTAINING_RECORD(at, PowerIrp, link);
    if (other != request && other->sent && other->done == nullptr && Excludes(other, request)) return false;
  }
  return true;
}

void Free(PowerIrp* request) {
  IoFreeIrp(request->irp);
  ObfDereferenceObject(request->top);
  ObfDereferenceObject(request->base);
  ObfDereferenceObject(request->device);
  ExFreePoolWithTag(request, kPowerTag);
}

void Deliver(PowerIrp* request) {
  if (request->minor != IRP_MN_WAIT_WAKE) {
    LARGE_INTEGER due;
    due.QuadPart = -10'000'000LL * g_watchdog_seconds;
    request->deadline.QuadPart = static_cast<LONGLONG>(KeQueryInterruptTime()) - due.QuadPart;
    KeSetTimer(&request->watchdog, due, &request->watchdog_dpc);
  }
  IofCallDriver(request->top, request->irp);
}

VOID NTAPI DeliverLater(PVOID context) {
  Deliver(static_cast<PowerIrp*>(context));
}

// A stack whose top is pageable gets its requests at PASSIVE_LEVEL.
void Start(PowerIrp* request) {
  if (KeGetCurrentIrql() == PASSIVE_LEVEL || !(request->top->Flags & DO_POWER_PAGABLE)) {
    Deliver(request);
    return;
  }
  ExInitializeWorkItem(&request->item, DeliverLater, request);
  ExQueueWorkItem(&request->item, CriticalWorkQueue);
}

PowerIrp* TakeNext(PowerIrp* finished) {
  ke::SpinGuard guard(&g_lock);
  RemoveEntryList(&finished->link);
  for (LIST_ENTRY* at = g_requests.Flink; at != &g_requests; at = at->Flink) {
    auto* waiting = CONTAINING_RECORD(at, PowerIrp, link);
    if (waiting->sent || !Excludes(waiting, finished) || !MaySend(waiting)) continue;
    waiting->sent = true;
    return waiting;
  }
  return nullptr;
}

NTSTATUS NTAPI Completed(PDEVICE_OBJECT, PIRP irp, PVOID context) {
  auto* request = static_cast<PowerIrp*>(context);
  KeCancelTimer(&request->watchdog);
  KeRemoveQueueDpc(&request->watchdog_dpc);
  PowerIrp* next = TakeNext(request);
  if (request->minor == IRP_MN_WAIT_WAKE && NT_SUCCESS(irp->IoStatus.Status)) NoteWake();
  if (request->completion != nullptr) {
    request->completion(request->device, request->minor, request->state, request->context, &irp->IoStatus);
  }
  if (request->done != nullptr) {
    KeSetEvent(request->done, IO_NO_INCREMENT, FALSE);  // the waiter frees
  } else {
    Free(request);
  }
  if (next != nullptr) Start(next);
  return STATUS_MORE_PROCESSING_REQUIRED;
}

PowerIrp* Allocate(PDEVICE_OBJECT device, const Request& what) {
  auto* request = static_cast<PowerIrp*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(PowerIrp), kPowerTag));
  if (request == nullptr) return nullptr;
  RtlZeroMemory(request, sizeof(*request));
  request->top = IoGetAttachedDeviceReference(device);
  request->irp = IoAllocateIrp(request->top->StackSize, FALSE);
  if (request->irp == nullptr) {
    ObfDereferenceObject(request->top);
    ExFreePoolWithTag(request, kPowerTag);
    return nullptr;
  }
  ObfReferenceObject(device);
  request->device = device;
  request->base = IoGetDeviceAttachmentBaseRef(device);
  request->minor = what.minor;
  request->state = what.state;
  KeInitializeTimer(&request->watchdog);
  KeInitializeDpc(&request->watchdog_dpc, WatchdogDpc, request);
  request->irp->IoStatus.Status = STATUS_NOT_SUPPORTED;
  request->irp->Tail.Overlay.Thread = reinterpret_cast<PETHREAD>(KeGetCurrentThread());
  PIO_STACK_LOCATION stack = IoGetNextIrpStackLocation(request->irp);
  stack->MajorFunction = IRP_MJ_POWER;
  stack->MinorFunction = what.minor;
  if (what.minor == IRP_MN_WAIT_WAKE) {
    stack->Parameters.WaitWake.PowerState = what.state.SystemState;
  } else {
    stack->Parameters.Power.Type = what.type;
    stack->Parameters.Power.State = what.state;
    stack->Parameters.Power.ShutdownType = what.action;
  }
  IoSetCompletionRoutine(request->irp, Completed, request, TRUE, TRUE, TRUE);
  return request;
}

// The device and the system state of a device object, as Windows keeps them: four bits each.
constexpr ULONG kSystemShift = 0, kDeviceShift = 4, kStateMask = 15;

}  // namespace

NTSTATUS SendAndWait(PDEVICE_OBJECT device, const Request& what) {
  PowerIrp* request = Allocate(device, what);
  if (request == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  KEVENT done;
  KeInitializeEvent(&done, NotificationEvent, FALSE);
  request->done = &done;
  request->sent = true;
  {
    ke::SpinGuard guard(&g_lock);
    InsertTailList(&g_requests, &request->link);
  }
  Deliver(request);
  KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, nullptr);
  const NTSTATUS status = request->irp->IoStatus.Status;
  Free(request);
  return status;
}

}  // namespace po

VOID PoSetIrpTimeout(ULONG Seconds) {
  if (Seconds != 0) po::g_watchdog_seconds = Seconds;
}

/// Hands a power request to the next driver. Since Windows Vista that is IofCallDriver.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/PoCallDriver.
NT_EXPORT(PoCallDriver, nt::AtMost(DISPATCH_LEVEL), Full, "PoIrp.*");
extern "C" NTSTATUS NTAPI PoCallDriver(PDEVICE_OBJECT DeviceObject, PIRP Irp) {
  return IofCallDriver(DeviceObject, Irp);
}

/// Says that the driver is ready for the next power request. Since Windows Vista the next comes when the one
/// before is complete, and this does nothing.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/PoStartNextPowerIrp.
NT_EXPORT(PoStartNextPowerIrp, nt::AtMost(DISPATCH_LEVEL), Full, "PoIrp.*");
extern "C" VOID NTAPI PoStartNextPowerIrp(PIRP) {}

/// Notes the power state that a device has now, and gives the one before.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/PoSetPowerState.
NT_EXPORT(PoSetPowerState, nt::AtMost(DISPATCH_LEVEL), Full, "PoState.*");
extern "C" POWER_STATE NTAPI PoSetPowerState(PDEVICE_OBJECT DeviceObject, POWER_STATE_TYPE Type,
                                             POWER_STATE State) {
  const ULONG shift = Type == SystemPowerState ? po::kSystemShift : po::kDeviceShift;
  auto* flags = reinterpret_cast<volatile LONG*>(&IopDeviceExtension(DeviceObject)->PowerFlags);
  const ULONG number = static_cast<ULONG>(Type == SystemPowerState ? static_cast<ULONG>(State.SystemState)
                                                                   : static_cast<ULONG>(State.DeviceState));
  for (;;) {
    const LONG before = *flags;
    const auto kept = static_cast<ULONG>(before) & ~(po::kStateMask << shift);
    if (InterlockedCompareExchange(flags, static_cast<LONG>(kept | (number & po::kStateMask) << shift),
                                   before) != before)
      continue;
    const ULONG old = (static_cast<ULONG>(before) >> shift) & po::kStateMask;
    POWER_STATE result;
    if (Type == SystemPowerState) {
      result.SystemState = static_cast<SYSTEM_POWER_STATE>(old);
    } else {
      result.DeviceState = static_cast<DEVICE_POWER_STATE>(old);
    }
    return result;
  }
}

/// Makes a power request of a device (query or set of its state, wait for its wake signal) and sends it to
/// the top of the stack, after those that the stack still works on. CompletionFunction hears of its end. One
/// that a driver keeps for ten minutes is bug check 0x9F.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/PoRequestPowerIrp.
NT_EXPORT(PoRequestPowerIrp, nt::AtMost(DISPATCH_LEVEL), Full, "PoIrp.*");
extern "C" NTSTATUS NTAPI PoRequestPowerIrp(PDEVICE_OBJECT DeviceObject, UCHAR MinorFunction,
                                            POWER_STATE PowerState,
                                            PREQUEST_POWER_COMPLETE CompletionFunction, PVOID Context,
                                            PIRP* Irp) {
  if (MinorFunction != IRP_MN_WAIT_WAKE && MinorFunction != IRP_MN_QUERY_POWER &&
      MinorFunction != IRP_MN_SET_POWER)
    return STATUS_INVALID_PARAMETER_2;
  po::PowerIrp* request =
      po::Allocate(DeviceObject, {MinorFunction, DevicePowerState, PowerState, PowerActionNone});
  if (request == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  request->completion = CompletionFunction;
  request->context = Context;
  if (Irp != nullptr) *Irp = request->irp;
  bool send;
  {
    ke::SpinGuard guard(&po::g_lock);
    InsertTailList(&po::g_requests, &request->link);
    send = request->sent = po::MaySend(request);
  }
  if (send) po::Start(request);
  return STATUS_PENDING;
}

/// How long the watchdog still leaves a device's power request; FALSE if none is watched.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/PoQueryWatchdogTime.
NT_EXPORT(PoQueryWatchdogTime, nt::AtMost(DISPATCH_LEVEL), Full, "PoIrp.Watchdog*");
extern "C" BOOLEAN NTAPI PoQueryWatchdogTime(PDEVICE_OBJECT Pdo, PULONG SecondsRemaining) {
  ke::SpinGuard guard(&po::g_lock);
  for (LIST_ENTRY* at = po::g_requests.Flink; at != &po::g_requests; at = at->Flink) {
    auto* request = CONTAINING_RECORD(at, po::PowerIrp, link);
    if (request->base != Pdo || !request->sent || request->deadline.QuadPart == 0) continue;
    const LONGLONG left = request->deadline.QuadPart - static_cast<LONGLONG>(KeQueryInterruptTime());
    *SecondsRemaining = left > 0 ? static_cast<ULONG>(left / 10'000'000) : 0;
    return TRUE;
  }
  return FALSE;
}
