// Who wants to hear of devices: registrations, and the calls of them.
#include <initguid.h>  // this file holds the GUIDs of <wdmguid.h>

#include "ex/ex.h"
#include "ke/ke.h"
#include "nt/export.h"
#include "pnp_internal.h"

namespace pnp {
namespace {

struct Registration {
  LIST_ENTRY link;
  IO_NOTIFICATION_EVENT_CATEGORY category;
  GUID interface_class;
  PFILE_OBJECT file;   // of a target device; not referenced, as its owner keeps it while registered
  PDEVICE_OBJECT pdo;  // of a target device, referenced
  PDRIVER_OBJECT driver;
  PDRIVER_NOTIFICATION_CALLBACK_ROUTINE routine;
  PVOID context;
  LONG references;  // under the lock: the list's and those of calls
  bool removed;
  PKTHREAD caller;  // in whose call of the routine we are
  KEVENT idle;
};

KSPIN_LOCK g_lock;
LIST_ENTRY g_registrations = {&g_registrations, &g_registrations};

void Release(Registration* registration) {
  bool last;
  {
    ke::SpinGuard guard(&g_lock);
    last = --registration->references == 0;
    if (last) RemoveEntryList(&registration->link);
    if (registration->references == 1 && registration->removed) KeSetEvent(&registration->idle, 0, FALSE);
  }
  if (!last) return;
  if (registration->pdo != nullptr) ObfDereferenceObject(registration->pdo);
  ObfDereferenceObject(registration->driver);
  ExFreePoolWithTag(registration, kNodeTag);
}

// The first registration behind `after` (0: the first of all) that `wanted` takes, with a reference.
template <typename Wanted>
Registration* NextRegistration(Registration* after, Wanted wanted) {
  ke::SpinGuard guard(&g_lock);
  LIST_ENTRY* at = after != nullptr ? after->link.Flink : g_registrations.Flink;
  for (; at != &g_registrations; at = at->Flink) {
    auto* registration = CONTAINING_RECORD(at, Registration, link);
    if (registration->removed || !wanted(registration)) continue;
    ++registration->references;
    return registration;
  }
  return nullptr;
}

ULONG_PTR ApcDisableCount() {
  return static_cast<ULONG>(reinterpret_cast<PETHREAD>(KeGetCurrentThread())->Tcb.CombinedApcDisable);
}

// A routine must come back as it was called.
NTSTATUS Call(Registration* registration, PVOID notification) {
  const ULONG_PTR apcs = ApcDisableCount();
  registration->caller = reinterpret_cast<PKTHREAD>(KeGetCurrentThread());
  const NTSTATUS status = registration->routine(notification, registration->context);
  registration->caller = nullptr;
  const KIRQL irql = KeGetCurrentIrql();
  if (irql != PASSIVE_LEVEL || ApcDisableCount() != apcs)
    PnpFatalError(kFatalBadCallback, registration->driver, irql, ApcDisableCount());
  return status;
}

// Calls all that `wanted` takes, with what `notification` makes for each; ends at the first refusal if
// `query`.
template <typename Wanted, typename Notification>
NTSTATUS CallAll(Wanted wanted, Notification notification, bool query) {
  NTSTATUS result = STATUS_SUCCESS;
  Registration* registration = NextRegistration(nullptr, wanted);
  while (registration != nullptr) {
    const NTSTATUS status = Call(registration, notification(registration));
    if (query && !NT_SUCCESS(status)) result = status;
    // An entry stays linked until its last reference is gone, so that the walk can go on from it.
    Registration* next = NT_SUCCESS(result) ? NextRegistration(registration, wanted) : nullptr;
    Release(registration);
    registration = next;
  }
  return result;
}

void Unlink(Registration* registration) {
  bool wait;
  {
    ke::SpinGuard guard(&g_lock);
    registration->removed = true;
    const bool own = registration->caller == reinterpret_cast<PKTHREAD>(KeGetCurrentThread());
    wait = registration->references > 1 && !own;
  }
  if (wait) KeWaitForSingleObject(&registration->idle, Executive, KernelMode, FALSE, nullptr);
  Release(registration);
}

// The PDO below an open file: its stack is asked.
NTSTATUS TargetOf(PFILE_OBJECT file, PDEVICE_OBJECT* pdo) {
  PDEVICE_RELATIONS relations;
  NTSTATUS status = QueryRelations(IoGetRelatedDeviceObject(file), TargetDeviceRelation, &relations);
  if (NT_SUCCESS(status) && relations == nullptr) status = STATUS_NO_SUCH_DEVICE;
  if (!NT_SUCCESS(status)) return status;
  *pdo = relations->Count != 0 ? relations->Objects[0] : nullptr;
  ExFreePool(relations);
  if (*pdo == nullptr) return STATUS_NO_SUCH_DEVICE;
  if (NodeOf(*pdo) != nullptr) return STATUS_SUCCESS;
  ObfDereferenceObject(*pdo);
  return STATUS_NO_SUCH_DEVICE;
}

struct InterfaceChange {
  GUID event, interface_class;
  UNICODE_STRING link;  // tag kNameTag
};

NTSTATUS DeliverInterfaceChange(PDEVICE_OBJECT, PVOID context) {
  auto* change = static_cast<InterfaceChange*>(context);
  DEVICE_INTERFACE_CHANGE_NOTIFICATION notification = {1, sizeof(notification), change->event,
                                                       change->interface_class, &change->link};
  CallAll(
      [&](Registration* at) {
        return at->category == EventCategoryDeviceInterfaceChange &&
               IsEqualGUID(at->interface_class, change->interface_class);
      },
      [&](Registration*) { return &notification; }, false);
  ExFreePoolWithTag(change->link.Buffer, kNameTag);
  ExFreePoolWithTag(change, kNodeTag);
  return STATUS_SUCCESS;
}

void DeliverExisting(Registration* registration) {
  PWSTR links;
  if (!NT_SUCCESS(IoGetDeviceInterfaces(&registration->interface_class, nullptr, 0, &links))) return;
  for (PWSTR at = links; *at != 0;) {
    UNICODE_STRING link = ob::String(at);
    DEVICE_INTERFACE_CHANGE_NOTIFICATION notification = {
        1, sizeof(notification), GUID_DEVICE_INTERFACE_ARRIVAL, registration->interface_class, &link};
    Call(registration, &notification);
    at += link.Length / sizeof(WCHAR) + 1;
  }
  ExFreePool(links);
}

bool IsPnpEvent(const GUID& event) {
  return IsEqualGUID(event, GUID_TARGET_DEVICE_QUERY_REMOVE) ||
         IsEqualGUID(event, GUID_TARGET_DEVICE_REMOVE_CANCELLED) ||
         IsEqualGUID(event, GUID_TARGET_DEVICE_REMOVE_COMPLETE);
}

void DeliverCustom(PDEVICE_OBJECT pdo, PTARGET_DEVICE_CUSTOM_NOTIFICATION notification) {
  CallAll(
      [&](Registration* at) {
        const bool wanted = notification->FileObject == nullptr || notification->FileObject == at->file;
        return at->category == EventCategoryTargetDeviceChange && at->pdo == pdo && wanted;
      },
      [&](Registration*) { return notification; }, false);
}

struct CustomChange {
  PDEVICE_CHANGE_COMPLETE_CALLBACK callback;
  PVOID context;
  PFILE_OBJECT file;
  TARGET_DEVICE_CUSTOM_NOTIFICATION notification;  // of its own size
};

NTSTATUS DeliverCustomLater(PDEVICE_OBJECT pdo, PVOID context) {
  auto* change = static_cast<CustomChange*>(context);
  DeliverCustom(pdo, &change->notification);
  if (change->callback != nullptr) change->callback(change->context);
  if (change->file != nullptr) ObfDereferenceObject(change->file);
  ExFreePoolWithTag(change, kNodeTag);
  return STATUS_SUCCESS;
}

}  // namespace

NTSTATUS NotifyTarget(PDEVICE_OBJECT pdo, const GUID& event) {
  TARGET_DEVICE_REMOVAL_NOTIFICATION notification = {1, sizeof(notification), event, nullptr};
  const bool query = IsEqualGUID(event, GUID_TARGET_DEVICE_QUERY_REMOVE) != 0;
  return CallAll(
      [&](Registration* at) { return at->category == EventCategoryTargetDeviceChange && at->pdo == pdo; },
      [&](Registration* at) {
        notification.FileObject = at->file;
        return &notification;
      },
      query);
}

void NotifyInterfaceChange(const GUID& event, const GUID& interface_class, PUNICODE_STRING link) {
  auto* change =
      static_cast<InterfaceChange*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(InterfaceChange), kNodeTag));
  if (change == nullptr) return;
  Name copy;
  copy.Append(link);
  const NTSTATUS status = copy.Status();
  *change = {event, interface_class, copy.Take()};
  if (NT_SUCCESS(status) && NT_SUCCESS(Queue(DeliverInterfaceChange, nullptr, change))) return;
  if (change->link.Buffer != nullptr) ExFreePoolWithTag(change->link.Buffer, kNameTag);
  ExFreePoolWithTag(change, kNodeTag);
}

}  // namespace pnp

// For fsrtl: the PDO of the device below an open file, referenced. PASSIVE_LEVEL.
extern "C" NTSTATUS IoGetRelatedTargetDevice(PFILE_OBJECT FileObject, PDEVICE_OBJECT* DeviceObject) {
  return pnp::TargetOf(FileObject, DeviceObject);
}

/// Asks for calls of a routine: at changes of the interfaces of a class (at once for those that exist, if the
/// flag says so), or at what happens to the device of a file object.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoRegisterPlugPlayNotification.
NT_EXPORT(IoRegisterPlugPlayNotification, nt::AtMost(PASSIVE_LEVEL), Full, "PnpNotification.*");
extern "C" NTSTATUS NTAPI IoRegisterPlugPlayNotification(
    IO_NOTIFICATION_EVENT_CATEGORY EventCategory, ULONG EventCategoryFlags, PVOID EventCategoryData,
    PDRIVER_OBJECT DriverObject, PDRIVER_NOTIFICATION_CALLBACK_ROUTINE CallbackRoutine, PVOID Context,
    PVOID* NotificationEntry) {
  using pnp::Registration;
  *NotificationEntry = nullptr;
  auto* registration =
      static_cast<Registration*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Registration), kNodeTag));
  if (registration == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlZeroMemory(registration, sizeof(*registration));
  NTSTATUS status = STATUS_SUCCESS;
  switch (EventCategory) {
    case EventCategoryHardwareProfileChange:
      break;
    case EventCategoryDeviceInterfaceChange:
      registration->interface_class = *static_cast<const GUID*>(EventCategoryData);
      break;
    case EventCategoryTargetDeviceChange:
      registration->file = static_cast<PFILE_OBJECT>(EventCategoryData);
      status = pnp::TargetOf(registration->file, &registration->pdo);
      break;
    default:
      status = STATUS_INVALID_PARAMETER;
  }
  if (!NT_SUCCESS(status)) {
    ExFreePoolWithTag(registration, kNodeTag);
    return status;
  }
  registration->category = EventCategory;
  registration->driver = DriverObject;
  registration->routine = CallbackRoutine;
  registration->context = Context;
  registration->references = 1;
  KeInitializeEvent(&registration->idle, NotificationEvent, FALSE);
  ObfReferenceObject(DriverObject);
  *NotificationEntry = registration;
  {
    ke::SpinGuard guard(&pnp::g_lock);
    InsertTailList(&pnp::g_registrations, &registration->link);
  }
  if (EventCategory == EventCategoryDeviceInterfaceChange &&
      (EventCategoryFlags & PNPNOTIFY_DEVICE_INTERFACE_INCLUDE_EXISTING_INTERFACES))
    pnp::DeliverExisting(registration);
  return STATUS_SUCCESS;
}

/// Ends a registration. A call of the routine that runs in another thread is waited for.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoUnregisterPlugPlayNotification.
NT_EXPORT(IoUnregisterPlugPlayNotification, nt::AtMost(PASSIVE_LEVEL), Full, "PnpNotification.*");
extern "C" NTSTATUS NTAPI IoUnregisterPlugPlayNotification(PVOID NotificationEntry) {
  pnp::Unlink(static_cast<pnp::Registration*>(NotificationEntry));
  return STATUS_SUCCESS;
}

/// Ends a registration and waits for a call of its routine that runs, unless that is the caller itself.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoUnregisterPlugPlayNotificationEx.
NT_EXPORT(IoUnregisterPlugPlayNotificationEx, nt::AtMost(PASSIVE_LEVEL), Full, "PnpNotification.*");
extern "C" NTSTATUS NTAPI IoUnregisterPlugPlayNotificationEx(PVOID NotificationEntry) {
  return IoUnregisterPlugPlayNotification(NotificationEntry);
}

/// Tells those who registered for a device of an event of the driver's own, and waits for them.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: the routines are called in the caller's thread.
/// Source: WDK wdm/IoReportTargetDeviceChange.
NT_EXPORT(IoReportTargetDeviceChange, nt::AtMost(PASSIVE_LEVEL), Full, "PnpNotification.*");
extern "C" NTSTATUS NTAPI IoReportTargetDeviceChange(PDEVICE_OBJECT PhysicalDeviceObject,
                                                     PVOID NotificationStructure) {
  auto* notification = static_cast<PTARGET_DEVICE_CUSTOM_NOTIFICATION>(NotificationStructure);
  pnp::NodeOfPdo(PhysicalDeviceObject);
  if (pnp::IsPnpEvent(notification->Event)) return STATUS_INVALID_DEVICE_REQUEST;
  pnp::DeliverCustom(PhysicalDeviceObject, notification);
  return STATUS_SUCCESS;
}

/// The same, later: the structure is copied, and Callback is called when all have been told.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoReportTargetDeviceChangeAsynchronous.
NT_EXPORT(IoReportTargetDeviceChangeAsynchronous, nt::AtMost(DISPATCH_LEVEL), Full, "PnpNotification.*");
extern "C" NTSTATUS NTAPI IoReportTargetDeviceChangeAsynchronous(PDEVICE_OBJECT PhysicalDeviceObject,
                                                                 PVOID NotificationStructure,
                                                                 PDEVICE_CHANGE_COMPLETE_CALLBACK Callback,
                                                                 PVOID Context) {
  auto* notification = static_cast<PTARGET_DEVICE_CUSTOM_NOTIFICATION>(NotificationStructure);
  pnp::NodeOfPdo(PhysicalDeviceObject);
  if (pnp::IsPnpEvent(notification->Event)) return STATUS_INVALID_DEVICE_REQUEST;
  const SIZE_T size = FIELD_OFFSET(pnp::CustomChange, notification) + notification->Size;
  auto* change = static_cast<pnp::CustomChange*>(ExAllocatePoolWithTag(NonPagedPoolNx, size, kNodeTag));
  if (change == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  change->callback = Callback;
  change->context = Context;
  change->file = notification->FileObject;
  if (change->file != nullptr) ObfReferenceObject(change->file);
  RtlCopyMemory(&change->notification, notification, notification->Size);
  const NTSTATUS status = pnp::Queue(pnp::DeliverCustomLater, PhysicalDeviceObject, change);
  if (NT_SUCCESS(status)) return STATUS_PENDING;
  if (change->file != nullptr) ObfDereferenceObject(change->file);
  ExFreePoolWithTag(change, kNodeTag);
  return status;
}
