// ObRegisterCallbacks: drivers that see, and may restrict, every handle to a process or a thread that is
// opened or duplicated.
//
// A type's registrations stand in OBJECT_TYPE.CallbackList, highest altitude first, under g_lock. A handle
// operation takes a rundown reference to each that concerns it, then calls without a lock: highest altitude
// first before the operation, lowest first after it. ObUnRegisterCallbacks waits for the references.
#include "callbacks.h"

#include "ktl/altitude.h"
#include "mm/image.h"
#include "nt/access_rights.h"
#include "nt/export.h"

namespace {

constexpr ULONG kCallbackTag = 'bCbO';
constexpr USHORT kMaximumOperations = 16;
constexpr ACCESS_MASK kProcessModifiable = PROCESS_CREATE_PROCESS | PROCESS_CREATE_THREAD |
                                           PROCESS_DUP_HANDLE | PROCESS_SET_QUOTA | PROCESS_SET_INFORMATION |
                                           PROCESS_SUSPEND_RESUME | PROCESS_TERMINATE | PROCESS_VM_OPERATION |
                                           PROCESS_VM_READ | PROCESS_VM_WRITE;
constexpr ACCESS_MASK kThreadModifiable = THREAD_DIRECT_IMPERSONATION | THREAD_IMPERSONATE |
                                          THREAD_SET_CONTEXT | THREAD_GET_CONTEXT | THREAD_SET_INFORMATION |
                                          THREAD_SET_LIMITED_INFORMATION | THREAD_SET_THREAD_TOKEN |
                                          THREAD_SUSPEND_RESUME | THREAD_TERMINATE;

KSPIN_LOCK g_lock;

}  // namespace

// One operation of a registration, in its type's list.
struct _CALLBACK_ENTRY_ITEM {
  LIST_ENTRY EntryItemList;
  OB_OPERATION Operations;
  BOOLEAN Enabled;
  struct _CALLBACK_ENTRY* CallbackEntry;
  POBJECT_TYPE ObjectType;
  POB_PRE_OPERATION_CALLBACK PreOperation;
  POB_POST_OPERATION_CALLBACK PostOperation;
  EX_RUNDOWN_REF RundownProtect;
};
typedef _CALLBACK_ENTRY_ITEM CALLBACK_ENTRY_ITEM;

typedef struct _CALLBACK_ENTRY {
  USHORT Version;
  USHORT ItemCount;
  PVOID RegistrationContext;
  UNICODE_STRING AltitudeString;  // its characters follow the items
  CALLBACK_ENTRY_ITEM Items[1];
} CALLBACK_ENTRY;

namespace {

CALLBACK_ENTRY_ITEM* ItemOf(PLIST_ENTRY link) {
  return CONTAINING_RECORD(link, CALLBACK_ENTRY_ITEM, EntryItemList);
}

bool IsAltitude(const UNICODE_STRING& text) {
  return text.Length % sizeof(WCHAR) == 0 && ktl::IsAltitude(text.Buffer, text.Length / sizeof(WCHAR));
}

int Compare(const UNICODE_STRING& left, const UNICODE_STRING& right) {
  return ktl::CompareAltitudes(left.Buffer, left.Length / sizeof(WCHAR), right.Buffer,
                               right.Length / sizeof(WCHAR));
}

NTSTATUS Check(const OB_CALLBACK_REGISTRATION* registration) {
  if (registration->Version != OB_FLT_REGISTRATION_VERSION || registration->OperationRegistrationCount == 0 ||
      registration->OperationRegistrationCount > kMaximumOperations || !IsAltitude(registration->Altitude)) {
    return STATUS_INVALID_PARAMETER;
  }
  for (USHORT i = 0; i < registration->OperationRegistrationCount; ++i) {
    const OB_OPERATION_REGISTRATION& operation = registration->OperationRegistration[i];
    constexpr OB_OPERATION kAll = OB_OPERATION_HANDLE_CREATE | OB_OPERATION_HANDLE_DUPLICATE;
    if (operation.ObjectType == nullptr || operation.Operations == 0 || (operation.Operations & ~kAll) != 0 ||
        (operation.PreOperation == nullptr && operation.PostOperation == nullptr)) {
      return STATUS_INVALID_PARAMETER;
    }
    const POBJECT_TYPE type = *operation.ObjectType;
    if (type == nullptr || !type->TypeInfo.SupportsObjectCallbacks) return STATUS_INVALID_PARAMETER;
    const PVOID pre = reinterpret_cast<PVOID>(operation.PreOperation);
    const PVOID post = reinterpret_cast<PVOID>(operation.PostOperation);
    if ((pre != nullptr && MiLookupDataTableEntry(pre) == nullptr) ||
        (post != nullptr && MiLookupDataTableEntry(post) == nullptr)) {
      return STATUS_ACCESS_DENIED;
    }
  }
  return STATUS_SUCCESS;
}

// Enters the item below the higher altitudes of its type. g_lock held. FALSE: another driver has that
// altitude.
bool InsertLocked(CALLBACK_ENTRY_ITEM* item) {
  PLIST_ENTRY head = &item->ObjectType->CallbackList;
  PLIST_ENTRY at = head->Flink;
  for (; at != head; at = at->Flink) {
    const CALLBACK_ENTRY* other = ItemOf(at)->CallbackEntry;
    const int order = Compare(other->AltitudeString, item->CallbackEntry->AltitudeString);
    if (order == 0 && other != item->CallbackEntry) return false;
    if (order < 0) break;
  }
  InsertTailList(at, &item->EntryItemList);
  return true;
}

CALLBACK_ENTRY* NewEntry(const OB_CALLBACK_REGISTRATION* registration) {
  const USHORT count = registration->OperationRegistrationCount;
  const SIZE_T head = FIELD_OFFSET(CALLBACK_ENTRY, Items) + count * sizeof(CALLBACK_ENTRY_ITEM);
  const USHORT bytes = registration->Altitude.Length;
  auto* entry =
      static_cast<CALLBACK_ENTRY*>(ExAllocatePoolWithTag(NonPagedPoolNx, head + bytes, kCallbackTag));
  if (entry == nullptr) return nullptr;
  RtlZeroMemory(entry, head);
  entry->Version = registration->Version;
  entry->ItemCount = count;
  entry->RegistrationContext = registration->RegistrationContext;
  entry->AltitudeString = {bytes, bytes, reinterpret_cast<PWCH>(reinterpret_cast<UCHAR*>(entry) + head)};
  RtlCopyMemory(entry->AltitudeString.Buffer, registration->Altitude.Buffer, bytes);
  for (USHORT i = 0; i < count; ++i) {
    const OB_OPERATION_REGISTRATION& operation = registration->OperationRegistration[i];
    CALLBACK_ENTRY_ITEM& item = entry->Items[i];
    item.Operations = operation.Operations;
    item.CallbackEntry = entry;
    item.ObjectType = *operation.ObjectType;
    item.PreOperation = operation.PreOperation;
    item.PostOperation = operation.PostOperation;
    item.Enabled = TRUE;
    ExInitializeRundownProtection(&item.RundownProtect);
  }
  return entry;
}

}  // namespace

namespace ob {

HandleOperation::HandleOperation(POBJECT_TYPE type, PVOID object, OB_OPERATION operation, bool kernel_handle)
    : type_(type), object_(object), operation_(operation), kernel_handle_(kernel_handle) {
  if (!type->TypeInfo.SupportsObjectCallbacks || IsListEmpty(&type->CallbackList)) return;
  ke::SpinGuard guard(&g_lock);
  for (PLIST_ENTRY at = type->CallbackList.Flink; at != &type->CallbackList; at = at->Flink) {
    CALLBACK_ENTRY_ITEM* item = ItemOf(at);
    if ((item->Operations & operation) == 0 || count_ == kMaximum) continue;
    if (ExAcquireRundownProtection(&item->RundownProtect)) calls_[count_++] = {item, nullptr};
  }
}

HandleOperation::~HandleOperation() {
  for (ULONG i = 0; i < count_; ++i) ExReleaseRundownProtection(&calls_[i].item->RundownProtect);
}

ACCESS_MASK HandleOperation::Restrict(ACCESS_MASK access) {
  if (count_ == 0) return access;
  const ACCESS_MASK modifiable = type_ == PsProcessType ? kProcessModifiable : kThreadModifiable;
  OB_PRE_OPERATION_PARAMETERS parameters = {};
  parameters.DuplicateHandleInformation = {access, access, IoGetCurrentProcess(), IoGetCurrentProcess()};
  KeEnterCriticalRegion();
  for (ULONG i = 0; i < count_; ++i) {
    const CALLBACK_ENTRY_ITEM* item = calls_[i].item;
    if (item->PreOperation == nullptr) continue;
    OB_PRE_OPERATION_INFORMATION information = {};
    information.Operation = operation_;
    information.KernelHandle = kernel_handle_;
    information.Object = object_;
    information.ObjectType = type_;
    information.Parameters = &parameters;
    const ACCESS_MASK before = parameters.CreateHandleInformation.DesiredAccess;
    item->PreOperation(item->CallbackEntry->RegistrationContext, &information);
    calls_[i].context = information.CallContext;
    // Nothing can be added, and of what there was only the modifiable rights can be taken away.
    const ACCESS_MASK wanted = parameters.CreateHandleInformation.DesiredAccess;
    parameters.CreateHandleInformation.DesiredAccess = before & (wanted | ~modifiable);
  }
  KeLeaveCriticalRegion();
  return parameters.CreateHandleInformation.DesiredAccess;
}

void HandleOperation::Complete(NTSTATUS status, ACCESS_MASK granted) {
  if (count_ == 0) return;
  OB_POST_OPERATION_PARAMETERS parameters = {};
  parameters.CreateHandleInformation.GrantedAccess = granted;
  KeEnterCriticalRegion();
  for (ULONG i = count_; i-- > 0;) {
    const CALLBACK_ENTRY_ITEM* item = calls_[i].item;
    if (item->PostOperation == nullptr) continue;
    OB_POST_OPERATION_INFORMATION information = {};
    information.Operation = operation_;
    information.KernelHandle = kernel_handle_;
    information.Object = object_;
    information.ObjectType = type_;
    information.CallContext = calls_[i].context;
    information.ReturnStatus = status;
    information.Parameters = &parameters;
    item->PostOperation(item->CallbackEntry->RegistrationContext, &information);
  }
  KeLeaveCriticalRegion();
}

}  // namespace ob

/// Registers routines that are called before and after handles to processes or threads are opened or
/// duplicated. Before it, they may take access rights away.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: there is no desktop type; an image needs no signature, only to be loaded; at most 32
/// registrations see one operation.
/// Source: WDK wdm/ObRegisterCallbacks.
NT_EXPORT(ObRegisterCallbacks, nt::AtMost(APC_LEVEL), Full, "ObCallbacks.*");
extern "C" NTSTATUS NTAPI ObRegisterCallbacks(POB_CALLBACK_REGISTRATION CallbackRegistration,
                                              PVOID* RegistrationHandle) {
  const NTSTATUS status = Check(CallbackRegistration);
  if (!NT_SUCCESS(status)) return status;
  CALLBACK_ENTRY* entry = NewEntry(CallbackRegistration);
  if (entry == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  USHORT inserted = 0;
  {
    ke::SpinGuard guard(&g_lock);
    while (inserted < entry->ItemCount && InsertLocked(&entry->Items[inserted])) ++inserted;
    if (inserted != entry->ItemCount) {
      for (USHORT i = 0; i < inserted; ++i) RemoveEntryList(&entry->Items[i].EntryItemList);
    }
  }
  if (inserted != entry->ItemCount) {
    for (USHORT i = 0; i < inserted; ++i) ExWaitForRundownProtectionRelease(&entry->Items[i].RundownProtect);
    ExFreePoolWithTag(entry, kCallbackTag);
    return STATUS_FLT_INSTANCE_ALTITUDE_COLLISION;
  }
  *RegistrationHandle = entry;
  return STATUS_SUCCESS;
}

/// Takes a registration back and waits until none of its routines runs any more.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ObUnRegisterCallbacks.
NT_EXPORT(ObUnRegisterCallbacks, nt::AtMost(APC_LEVEL), Full, "ObCallbacks.*");
extern "C" VOID NTAPI ObUnRegisterCallbacks(PVOID RegistrationHandle) {
  auto* entry = static_cast<CALLBACK_ENTRY*>(RegistrationHandle);
  if (entry == nullptr) return;
  {
    ke::SpinGuard guard(&g_lock);
    for (USHORT i = 0; i < entry->ItemCount; ++i) RemoveEntryList(&entry->Items[i].EntryItemList);
  }
  for (USHORT i = 0; i < entry->ItemCount; ++i)
    ExWaitForRundownProtectionRelease(&entry->Items[i].RundownProtect);
  ExFreePoolWithTag(entry, kCallbackTag);
}

/// The version of the callback interface: OB_FLT_REGISTRATION_VERSION.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ObGetFilterVersion.
NT_EXPORT(ObGetFilterVersion, nt::AtMost(APC_LEVEL), Full, "ObCallbacks.*");
extern "C" USHORT NTAPI ObGetFilterVersion(VOID) {
  return OB_FLT_REGISTRATION_VERSION;
}
