// Events, mutants, semaphores by handle; callback objects.
#include "ex/ex.h"
#include "ke/service_call.h"
#include "nt/export.h"
#include "ob/ob.h"

extern "C" {
POBJECT_TYPE ExEventObjectType;
POBJECT_TYPE ExMutantObjectType;
POBJECT_TYPE ExSemaphoreObjectType;
POBJECT_TYPE ExCallbackObjectType;
}

/// The type of event objects.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ObReferenceObjectByHandle.
NT_EXPORT_DATA(ExEventObjectType, Full, "KernelEx.*");
/// The type of semaphore objects.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ObReferenceObjectByHandle.
NT_EXPORT_DATA(ExSemaphoreObjectType, Full, "KernelEx.*");

typedef struct _CALLBACK_OBJECT {
  ULONG Signature;
  KSPIN_LOCK Lock;
  LIST_ENTRY RegisteredCallbacks;
  BOOLEAN AllowMultipleCallbacks;
} CALLBACK_OBJECT;

typedef struct _CALLBACK_REGISTRATION {
  LIST_ENTRY Link;
  PCALLBACK_OBJECT CallbackObject;
  PCALLBACK_FUNCTION CallbackFunction;
  PVOID CallbackContext;
  ULONG Busy;
  BOOLEAN UnregisterWaiting;
} CALLBACK_REGISTRATION, *PCALLBACK_REGISTRATION;

namespace {

NTSTATUS MakeObject(POBJECT_TYPE type, POBJECT_ATTRIBUTES attributes, ULONG size, PVOID* object) {
  return ObCreateObject(KernelMode, type, attributes, KernelMode, nullptr, size, 0, 0, object);
}

// The object of a handle for the length of a call.
template <typename Function>
NTSTATUS WithObject(HANDLE handle, POBJECT_TYPE type, Function function) {
  PVOID object;
  NTSTATUS status = ob::ReferenceHandle(handle, type, &object, nullptr);
  if (!NT_SUCCESS(status)) return status;
  status = function(object);
  ObfDereferenceObject(object);
  return status;
}

NTSTATUS CreateTypes() {
  const GENERIC_MAPPING mapping = {STANDARD_RIGHTS_READ | 1, STANDARD_RIGHTS_WRITE | 2,
                                   STANDARD_RIGHTS_EXECUTE | SYNCHRONIZE, STANDARD_RIGHTS_ALL | 3};
  const ob::TypeDescription types[] = {
      {L"Event", 'nevE', mapping, EVENT_ALL_ACCESS, nullptr, nullptr, nullptr, nullptr, true, 0},
      {L"Mutant", 'atuM', mapping, STANDARD_RIGHTS_ALL | 1, nullptr, nullptr, nullptr, nullptr, true, 0},
      {L"Semaphore", 'ameS', mapping, STANDARD_RIGHTS_ALL | 3, nullptr, nullptr, nullptr, nullptr, true, 0},
      {L"Callback", 'llaC', mapping, STANDARD_RIGHTS_ALL | 1, nullptr, nullptr, nullptr, nullptr, false, 0},
  };
  POBJECT_TYPE* const variables[] = {&ExEventObjectType, &ExMutantObjectType, &ExSemaphoreObjectType,
                                     &ExCallbackObjectType};
  for (ULONG i = 0; i < RTL_NUMBER_OF(types); ++i) {
    NTSTATUS status = ob::CreateType(types[i], variables[i]);
    if (!NT_SUCCESS(status)) return status;
  }
  return STATUS_SUCCESS;
}

NTSTATUS CreateSystemCallbacks() {
  const wchar_t* const names[] = {L"\\Callback\\SetSystemTime", L"\\Callback\\SetSystemState",
                                  L"\\Callback\\PowerState", L"\\Callback\\ProcessorAdd"};
  for (const wchar_t* text : names) {
    UNICODE_STRING name = ob::String(text);
    OBJECT_ATTRIBUTES attributes;
    InitializeObjectAttributes(&attributes, &name, OBJ_PERMANENT | OBJ_CASE_INSENSITIVE, nullptr, nullptr);
    PCALLBACK_OBJECT callback;
    NTSTATUS status = ExCreateCallback(&callback, &attributes, TRUE, TRUE);
    if (!NT_SUCCESS(status)) return status;
  }
  return STATUS_SUCCESS;
}

}  // namespace

namespace ex {

NTSTATUS InitObjects() {
  NTSTATUS status = CreateTypes();
  return NT_SUCCESS(status) ? CreateSystemCallbacks() : status;
}

}  // namespace ex

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtCreateEvent(PHANDLE EventHandle, ACCESS_MASK DesiredAccess,
                                                          POBJECT_ATTRIBUTES ObjectAttributes,
                                                          EVENT_TYPE EventType, BOOLEAN InitialState) {
  if (EventType != NotificationEvent && EventType != SynchronizationEvent) return STATUS_INVALID_PARAMETER;
  PVOID object;
  NTSTATUS status = MakeObject(ExEventObjectType, ObjectAttributes, sizeof(KEVENT), &object);
  if (!NT_SUCCESS(status)) return status;
  KeInitializeEvent(static_cast<PRKEVENT>(object), EventType, InitialState);
  return ObInsertObject(object, nullptr, DesiredAccess, 0, nullptr, EventHandle);
}

/// Creates an event object, or opens the one of that name (OBJ_OPENIF).
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ZwCreateEvent.
NT_EXPORT(ZwCreateEvent, nt::AtMost(PASSIVE_LEVEL), Full, "KernelEx.*");
extern "C" NTSTATUS NTAPI ZwCreateEvent(PHANDLE EventHandle, ACCESS_MASK DesiredAccess,
                                        POBJECT_ATTRIBUTES ObjectAttributes, EVENT_TYPE EventType,
                                        BOOLEAN InitialState) {
  return ke::CallService(NtCreateEvent, EventHandle, DesiredAccess, ObjectAttributes, EventType,
                         InitialState);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtOpenEvent(PHANDLE EventHandle, ACCESS_MASK DesiredAccess,
                                                        POBJECT_ATTRIBUTES ObjectAttributes) {
  return ObOpenObjectByName(ObjectAttributes, ExEventObjectType, KernelMode, nullptr, DesiredAccess, nullptr,
                            EventHandle);
}

/// Opens an event object by name.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ZwOpenEvent.
NT_EXPORT(ZwOpenEvent, nt::AtMost(PASSIVE_LEVEL), Full, "KernelEx.*");
extern "C" NTSTATUS NTAPI ZwOpenEvent(PHANDLE EventHandle, ACCESS_MASK DesiredAccess,
                                      POBJECT_ATTRIBUTES ObjectAttributes) {
  return ke::CallService(NtOpenEvent, EventHandle, DesiredAccess, ObjectAttributes);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtSetEvent(HANDLE EventHandle, PLONG PreviousState) {
  return WithObject(EventHandle, ExEventObjectType, [&](PVOID object) {
    const LONG previous = KeSetEvent(static_cast<PRKEVENT>(object), EVENT_INCREMENT, FALSE);
    if (PreviousState != nullptr) *PreviousState = previous;
    return STATUS_SUCCESS;
  });
}

/// Sets an event.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ZwSetEvent.
NT_EXPORT(ZwSetEvent, nt::AtMost(PASSIVE_LEVEL), Full, "KernelEx.*");
extern "C" NTSTATUS NTAPI ZwSetEvent(HANDLE EventHandle, PLONG PreviousState) {
  return ke::CallService(NtSetEvent, EventHandle, PreviousState);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtResetEvent(HANDLE EventHandle, PLONG PreviousState) {
  return WithObject(EventHandle, ExEventObjectType, [&](PVOID object) {
    const LONG previous = KeResetEvent(static_cast<PRKEVENT>(object));
    if (PreviousState != nullptr) *PreviousState = previous;
    return STATUS_SUCCESS;
  });
}

/// Resets an event and returns what it was.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ZwResetEvent (not documented there).
NT_EXPORT(ZwResetEvent, nt::AtMost(PASSIVE_LEVEL), Full, "KernelEx.*");
extern "C" NTSTATUS NTAPI ZwResetEvent(HANDLE EventHandle, PLONG PreviousState) {
  return ke::CallService(NtResetEvent, EventHandle, PreviousState);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtClearEvent(HANDLE EventHandle) {
  return WithObject(EventHandle, ExEventObjectType, [](PVOID object) {
    KeClearEvent(static_cast<PRKEVENT>(object));
    return STATUS_SUCCESS;
  });
}

/// Resets an event.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ZwClearEvent, nt::AtMost(PASSIVE_LEVEL), Full, "KernelEx.*");
extern "C" NTSTATUS NTAPI ZwClearEvent(HANDLE EventHandle) {
  return ke::CallService(NtClearEvent, EventHandle);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtCreateMutant(PHANDLE MutantHandle, ACCESS_MASK DesiredAccess,
                                                           POBJECT_ATTRIBUTES ObjectAttributes,
                                                           BOOLEAN InitialOwner) {
  PVOID object;
  NTSTATUS status = MakeObject(ExMutantObjectType, ObjectAttributes, sizeof(KMUTANT), &object);
  if (!NT_SUCCESS(status)) return status;
  KeInitializeMutex(static_cast<PRKMUTEX>(object), 0);
  static_cast<PRKMUTANT>(object)->ApcDisable = 0;
  if (InitialOwner) KeWaitForSingleObject(object, Executive, KernelMode, FALSE, nullptr);
  return ObInsertObject(object, nullptr, DesiredAccess, 0, nullptr, MutantHandle);
}

/// Creates a mutant (a mutex by handle).
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: not exported by Windows' kernel for drivers before 8; the same otherwise.
/// Source: not documented.
extern "C" NTSTATUS NTAPI ZwCreateMutant(PHANDLE MutantHandle, ACCESS_MASK DesiredAccess,
                                         POBJECT_ATTRIBUTES ObjectAttributes, BOOLEAN InitialOwner) {
  return ke::CallService(NtCreateMutant, MutantHandle, DesiredAccess, ObjectAttributes, InitialOwner);
}

namespace {

PKEVENT CreateNamedEvent(PUNICODE_STRING name, EVENT_TYPE type, PHANDLE handle) {
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, name, OBJ_OPENIF | OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE,
                             nullptr, nullptr);
  if (!NT_SUCCESS(ZwCreateEvent(handle, EVENT_ALL_ACCESS, &attributes, type, TRUE))) return nullptr;
  PVOID object;
  if (!NT_SUCCESS(ob::ReferenceHandle(*handle, ExEventObjectType, &object, nullptr))) return nullptr;
  ObfDereferenceObject(object);  // the handle keeps it
  return static_cast<PKEVENT>(object);
}

}  // namespace

/// Creates or opens a named notification event, set at first; the handle keeps it.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoCreateNotificationEvent.
NT_EXPORT(IoCreateNotificationEvent, nt::AtMost(PASSIVE_LEVEL), Full, "KernelEx.*");
extern "C" PKEVENT NTAPI IoCreateNotificationEvent(PUNICODE_STRING EventName, PHANDLE EventHandle) {
  return CreateNamedEvent(EventName, NotificationEvent, EventHandle);
}

/// Creates or opens a named synchronization event, set at first; the handle keeps it.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoCreateSynchronizationEvent.
NT_EXPORT(IoCreateSynchronizationEvent, nt::AtMost(PASSIVE_LEVEL), Full, "KernelEx.*");
extern "C" PKEVENT NTAPI IoCreateSynchronizationEvent(PUNICODE_STRING EventName, PHANDLE EventHandle) {
  return CreateNamedEvent(EventName, SynchronizationEvent, EventHandle);
}

/// Creates a callback object, or opens the one of that name.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExCreateCallback.
NT_EXPORT(ExCreateCallback, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" NTSTATUS NTAPI ExCreateCallback(PCALLBACK_OBJECT* CallbackObject,
                                           POBJECT_ATTRIBUTES ObjectAttributes, BOOLEAN Create,
                                           BOOLEAN AllowMultipleCallbacks) {
  PVOID object;
  NTSTATUS status = STATUS_UNSUCCESSFUL;
  if (ObjectAttributes->ObjectName != nullptr) {
    status = ObReferenceObjectByName(ObjectAttributes->ObjectName, ObjectAttributes->Attributes, nullptr, 0,
                                     ExCallbackObjectType, KernelMode, nullptr, &object);
  }
  if (!NT_SUCCESS(status) && Create) {
    status = MakeObject(ExCallbackObjectType, ObjectAttributes, sizeof(CALLBACK_OBJECT), &object);
    if (!NT_SUCCESS(status)) return status;
    auto* callback = static_cast<PCALLBACK_OBJECT>(object);
    callback->Signature = 'llaC';
    callback->AllowMultipleCallbacks = AllowMultipleCallbacks;
    KeInitializeSpinLock(&callback->Lock);
    InitializeListHead(&callback->RegisteredCallbacks);
    status = ObInsertObject(object, nullptr, 0, 0, nullptr, nullptr);
  }
  if (NT_SUCCESS(status)) *CallbackObject = static_cast<PCALLBACK_OBJECT>(object);
  return status;
}

/// Registers a function with a callback object; 0 on failure.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExRegisterCallback.
NT_EXPORT(ExRegisterCallback, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" PVOID NTAPI ExRegisterCallback(PCALLBACK_OBJECT CallbackObject,
                                          PCALLBACK_FUNCTION CallbackFunction, PVOID CallbackContext) {
  auto* entry = static_cast<PCALLBACK_REGISTRATION>(
      ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(CALLBACK_REGISTRATION), 'llaC'));
  if (entry == nullptr) return nullptr;
  *entry = {{}, CallbackObject, CallbackFunction, CallbackContext, 0, FALSE};
  {
    ke::SpinGuard guard(&CallbackObject->Lock);
    if (CallbackObject->AllowMultipleCallbacks || IsListEmpty(&CallbackObject->RegisteredCallbacks)) {
      ObfReferenceObject(CallbackObject);
      InsertTailList(&CallbackObject->RegisteredCallbacks, &entry->Link);
      return entry;
    }
  }
  ExFreePoolWithTag(entry, 'llaC');
  return nullptr;
}

/// Ends a registration; calls of the function that are going on are waited for.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExUnregisterCallback.
NT_EXPORT(ExUnregisterCallback, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" VOID NTAPI ExUnregisterCallback(PVOID CallbackRegistration) {
  auto* entry = static_cast<PCALLBACK_REGISTRATION>(CallbackRegistration);
  PCALLBACK_OBJECT callback = entry->CallbackObject;
  for (;;) {
    KIRQL irql = KeAcquireSpinLockRaiseToDpc(&callback->Lock);
    const bool busy = entry->Busy != 0;
    if (!busy) RemoveEntryList(&entry->Link);
    KeReleaseSpinLock(&callback->Lock, irql);
    if (!busy) break;
    LARGE_INTEGER pause;
    pause.QuadPart = -10'000;
    KeDelayExecutionThread(KernelMode, FALSE, &pause);
  }
  ExFreePoolWithTag(entry, 'llaC');
  ObfDereferenceObject(callback);
}

/// Calls the functions that are registered with a callback object, in the order of registration.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExNotifyCallback.
NT_EXPORT(ExNotifyCallback, nt::AtMost(DISPATCH_LEVEL), Full, "KernelEx.*");
extern "C" VOID NTAPI ExNotifyCallback(PCALLBACK_OBJECT CallbackObject, PVOID Argument1, PVOID Argument2) {
  PCALLBACK_OBJECT callback = CallbackObject;
  KIRQL irql = KeAcquireSpinLockRaiseToDpc(&callback->Lock);
  for (LIST_ENTRY* link = callback->RegisteredCallbacks.Flink; link != &callback->RegisteredCallbacks;) {
    auto* entry = CONTAINING_RECORD(link, CALLBACK_REGISTRATION, Link);
    ++entry->Busy;
    KeReleaseSpinLock(&callback->Lock, irql);
    entry->CallbackFunction(entry->CallbackContext, Argument1, Argument2);
    irql = KeAcquireSpinLockRaiseToDpc(&callback->Lock);
    --entry->Busy;
    link = link->Flink;
  }
  KeReleaseSpinLock(&callback->Lock, irql);
}
