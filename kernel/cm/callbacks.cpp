// CmRegisterCallback(Ex): drivers that see, forbid, take over or change registry operations.
//
// Callbacks stand in CallbackListHead, highest altitude first, under g_lock. An operation takes a rundown
// reference to each and calls without a lock, so a callback may use the registry itself; CmUnRegisterCallback
// waits for the references.
#include "callbacks.h"

#include "ktl/altitude.h"
#include "nt/export.h"

namespace cm {

struct Callback {
  LIST_ENTRY ListEntry;
  LARGE_INTEGER Cookie;
  PVOID CallbackContext;
  PEX_CALLBACK_FUNCTION Function;
  UNICODE_STRING Altitude;    // empty: CmRegisterCallback's, below every other. Its characters follow
  LIST_ENTRY ObjectContexts;  // what it attached to key objects
  EX_RUNDOWN_REF RundownProtect;
};

}  // namespace cm

extern "C" {
LIST_ENTRY CallbackListHead = {&CallbackListHead, &CallbackListHead};
}

namespace cm {
namespace {

constexpr ULONG kTag = 'bcMC';

KSPIN_LOCK g_lock;  // guards the list and the object contexts of every key
volatile LONG g_count;
LONG64 g_next_cookie;

// A driver's own pointer on a key object.
struct ObjectContext {
  LIST_ENTRY of_key, of_callback;
  PCM_KEY_BODY key;
  Callback* callback;
  PVOID context;
};

Callback* CallbackOf(PLIST_ENTRY link) {
  return CONTAINING_RECORD(link, Callback, ListEntry);
}

int Compare(const UNICODE_STRING& left, const UNICODE_STRING& right) {
  if (left.Length == 0 || right.Length == 0) return (left.Length != 0) - (right.Length != 0);
  return ktl::CompareAltitudes(left.Buffer, left.Length / sizeof(WCHAR), right.Buffer,
                               right.Length / sizeof(WCHAR));
}

NTSTATUS Invoke(const Callback* callback, REG_NOTIFY_CLASS notice, PVOID information) {
  return callback->Function(callback->CallbackContext,
                            reinterpret_cast<PVOID>(static_cast<ULONG_PTR>(notice)), information);
}

Callback* FindLocked(LARGE_INTEGER cookie) {
  for (PLIST_ENTRY at = CallbackListHead.Flink; at != &CallbackListHead; at = at->Flink) {
    if (CallbackOf(at)->Cookie.QuadPart == cookie.QuadPart) return CallbackOf(at);
  }
  return nullptr;
}

ObjectContext* FindContextLocked(PCM_KEY_BODY key, const Callback* callback) {
  if (key == nullptr) return nullptr;
  for (PLIST_ENTRY at = key->ContextListHead.Flink; at != &key->ContextListHead; at = at->Flink) {
    auto* context = CONTAINING_RECORD(at, ObjectContext, of_key);
    if (context->callback == callback) return context;
  }
  return nullptr;
}

PVOID ContextOf(PCM_KEY_BODY key, const Callback* callback) {
  ke::SpinGuard guard(&g_lock);
  const ObjectContext* context = FindContextLocked(key, callback);
  return context != nullptr ? context->context : nullptr;
}

void UnlinkLocked(ObjectContext* context) {
  RemoveEntryList(&context->of_key);
  RemoveEntryList(&context->of_callback);
}

// Tells the owner that its context is gone from the key, and frees the record.
void HandBack(ObjectContext* context) {
  REG_CALLBACK_CONTEXT_CLEANUP_INFORMATION information = {context->key, context->context, nullptr};
  Invoke(context->callback, RegNtCallbackObjectContextCleanup, &information);
  ExFreePoolWithTag(context, kTag);
}

NTSTATUS Register(PEX_CALLBACK_FUNCTION function, const UNICODE_STRING& altitude, PVOID context,
                  PLARGE_INTEGER cookie) {
  auto* callback =
      static_cast<Callback*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Callback) + altitude.Length, kTag));
  if (callback == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  callback->CallbackContext = context;
  callback->Function = function;
  callback->Altitude = {altitude.Length, altitude.Length, reinterpret_cast<PWCH>(callback + 1)};
  RtlCopyMemory(callback + 1, altitude.Buffer, altitude.Length);
  InitializeListHead(&callback->ObjectContexts);
  ExInitializeRundownProtection(&callback->RundownProtect);
  {
    ke::SpinGuard guard(&g_lock);
    PLIST_ENTRY at = CallbackListHead.Flink;
    int order = 1;
    for (; at != &CallbackListHead; at = at->Flink) {
      order = Compare(CallbackOf(at)->Altitude, callback->Altitude);
      if (order < 0 || (order == 0 && altitude.Length != 0)) break;
    }
    if (at == &CallbackListHead || order < 0) {
      callback->Cookie.QuadPart = ++g_next_cookie;
      InsertTailList(at, &callback->ListEntry);
      InterlockedIncrement(&g_count);
      *cookie = callback->Cookie;
      return STATUS_SUCCESS;
    }
  }
  ExFreePoolWithTag(callback, kTag);
  return STATUS_FLT_INSTANCE_ALTITUDE_COLLISION;
}

}  // namespace

Operation::Operation(Notice notice, PVOID information, PVOID* contexts, PCM_KEY_BODY key)
    : notice_(notice), information_(information), contexts_(contexts), key_(key) {
  if (g_count == 0) return;
  ke::SpinGuard guard(&g_lock);
  for (PLIST_ENTRY at = CallbackListHead.Flink; at != &CallbackListHead && count_ < kMaximum;
       at = at->Flink) {
    if (ExAcquireRundownProtection(&CallbackOf(at)->RundownProtect))
      calls_[count_++] = {CallbackOf(at), nullptr};
  }
}

Operation::~Operation() {
  for (ULONG i = 0; i < count_; ++i) ExReleaseRundownProtection(&calls_[i].callback->RundownProtect);
}

NTSTATUS Operation::Before() {
  for (ULONG i = 0; i < count_; ++i) {
    contexts_[0] = nullptr;
    contexts_[1] = ContextOf(key_, calls_[i].callback);
    const NTSTATUS status = Invoke(calls_[i].callback, notice_.before, information_);
    calls_[i].context = contexts_[0];
    if (NT_SUCCESS(status) && status != STATUS_CALLBACK_BYPASS) continue;
    // Those above have seen the operation begin and see it end; this one and those below do not.
    const NTSTATUS result = AfterFrom(i, key_, status == STATUS_CALLBACK_BYPASS ? STATUS_SUCCESS : status);
    return NT_SUCCESS(result) ? STATUS_CALLBACK_BYPASS : result;
  }
  return STATUS_SUCCESS;
}

NTSTATUS Operation::After(PVOID object, NTSTATUS status) {
  return AfterFrom(count_, object, status);
}

NTSTATUS Operation::AfterFrom(ULONG count, PVOID object, NTSTATUS status) {
  for (ULONG i = count; i-- > 0;) {
    REG_POST_OPERATION_INFORMATION information = {};
    information.Object = object;
    information.Status = status;
    information.PreInformation = information_;
    information.ReturnStatus = status;
    information.CallContext = calls_[i].context;
    information.ObjectContext = ContextOf(key_, calls_[i].callback);
    // Only with STATUS_CALLBACK_BYPASS does the callback's own status count.
    if (Invoke(calls_[i].callback, notice_.after, &information) == STATUS_CALLBACK_BYPASS)
      status = information.ReturnStatus;
  }
  return status;
}

void CleanUpContexts(PCM_KEY_BODY key) {
  for (;;) {
    ObjectContext* context;
    {
      ke::SpinGuard guard(&g_lock);
      if (IsListEmpty(&key->ContextListHead)) return;
      context = CONTAINING_RECORD(key->ContextListHead.Flink, ObjectContext, of_key);
      UnlinkLocked(context);
      // Cannot fail: CmUnRegisterCallback takes the contexts, under this lock, before it waits for the
      // references.
      (void)ExAcquireRundownProtection(&context->callback->RundownProtect);
    }
    Callback* callback = context->callback;
    HandBack(context);
    ExReleaseRundownProtection(&callback->RundownProtect);
  }
}

}  // namespace cm

/// Registers a routine that is called before and after registry operations, in the order of altitudes.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: at most 32 callbacks see one operation.
/// Source: WDK wdm/CmRegisterCallbackEx.
NT_EXPORT(CmRegisterCallbackEx, nt::AtMost(APC_LEVEL), Full, "CmCallbacks.*");
extern "C" NTSTATUS NTAPI CmRegisterCallbackEx(PEX_CALLBACK_FUNCTION Function, PCUNICODE_STRING Altitude,
                                               PVOID Driver, PVOID Context, PLARGE_INTEGER Cookie, PVOID) {
  if (Driver == nullptr || Altitude->Length % sizeof(WCHAR) != 0 ||
      !ktl::IsAltitude(Altitude->Buffer, Altitude->Length / sizeof(WCHAR))) {
    return STATUS_INVALID_PARAMETER;
  }
  return cm::Register(Function, *Altitude, Context, Cookie);
}

/// As CmRegisterCallbackEx, without an altitude.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: such callbacks are called below every altitude, in the order of their registration.
/// Source: WDK wdm/CmRegisterCallback.
NT_EXPORT(CmRegisterCallback, nt::AtMost(APC_LEVEL), Full, "CmCallbacks.*");
extern "C" NTSTATUS NTAPI CmRegisterCallback(PEX_CALLBACK_FUNCTION Function, PVOID Context,
                                             PLARGE_INTEGER Cookie) {
  return cm::Register(Function, {}, Context, Cookie);
}

/// Takes a registration back: hands its contexts on key objects back to it
/// (RegNtCallbackObjectContextCleanup), and waits until its routine runs nowhere any more.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/CmUnRegisterCallback.
NT_EXPORT(CmUnRegisterCallback, nt::AtMost(APC_LEVEL), Full, "CmCallbacks.*");
extern "C" NTSTATUS NTAPI CmUnRegisterCallback(LARGE_INTEGER Cookie) {
  cm::Callback* callback;
  {
    ke::SpinGuard guard(&cm::g_lock);
    callback = cm::FindLocked(Cookie);
    if (callback == nullptr) return STATUS_INVALID_PARAMETER;
    RemoveEntryList(&callback->ListEntry);
    InterlockedDecrement(&cm::g_count);
  }
  for (;;) {
    cm::ObjectContext* context;
    {
      ke::SpinGuard guard(&cm::g_lock);
      if (IsListEmpty(&callback->ObjectContexts)) break;
      context = CONTAINING_RECORD(callback->ObjectContexts.Flink, cm::ObjectContext, of_callback);
      cm::UnlinkLocked(context);
    }
    cm::HandBack(context);
  }
  ExWaitForRundownProtectionRelease(&callback->RundownProtect);
  ExFreePoolWithTag(callback, cm::kTag);
  return STATUS_SUCCESS;
}

/// Attaches the caller's pointer to a key object (0: takes it off); it is in ObjectContext of the object's
/// operations.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/CmSetCallbackObjectContext.
NT_EXPORT(CmSetCallbackObjectContext, nt::AtMost(APC_LEVEL), Full, "CmCallbacks.*");
extern "C" NTSTATUS NTAPI CmSetCallbackObjectContext(PVOID Object, PLARGE_INTEGER Cookie, PVOID NewContext,
                                                     PVOID* OldContext) {
  if (Object == nullptr || ObGetObjectType(Object) != CmKeyObjectType) return STATUS_INVALID_PARAMETER;
  auto* key = static_cast<PCM_KEY_BODY>(Object);
  cm::ObjectContext* fresh = nullptr;
  if (NewContext != nullptr) {
    fresh = static_cast<cm::ObjectContext*>(
        ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(cm::ObjectContext), cm::kTag));
    if (fresh == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  }
  cm::ObjectContext* old = nullptr;
  cm::Callback* callback;
  {
    ke::SpinGuard guard(&cm::g_lock);
    callback = cm::FindLocked(*Cookie);
    if (callback != nullptr) {
      old = cm::FindContextLocked(key, callback);
      if (old != nullptr) cm::UnlinkLocked(old);
      if (fresh != nullptr) {
        fresh->key = key;
        fresh->callback = callback;
        fresh->context = NewContext;
        InsertTailList(&key->ContextListHead, &fresh->of_key);
        InsertTailList(&callback->ObjectContexts, &fresh->of_callback);
      }
    }
  }
  if (callback == nullptr && fresh != nullptr) ExFreePoolWithTag(fresh, cm::kTag);
  if (OldContext != nullptr) *OldContext = old != nullptr ? old->context : nullptr;
  if (old != nullptr) ExFreePoolWithTag(old, cm::kTag);
  return callback != nullptr ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
}

/// An identifier of the key behind an object, the same for every handle to it, and its full name, which
/// CmCallbackReleaseKeyObjectIDEx frees.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/CmCallbackGetKeyObjectIDEx.
NT_EXPORT(CmCallbackGetKeyObjectIDEx, nt::AtMost(APC_LEVEL), Full, "CmCallbacks.*");
extern "C" NTSTATUS NTAPI CmCallbackGetKeyObjectIDEx(PLARGE_INTEGER, PVOID Object, PULONG_PTR ObjectID,
                                                     PCUNICODE_STRING* ObjectName, ULONG Flags) {
  if (Flags != 0 || Object == nullptr || ObGetObjectType(Object) != CmKeyObjectType)
    return STATUS_INVALID_PARAMETER;
  cm::RegistryLock lock(cm::RegistryLock::Access::kShared);
  const cm::Key* key = static_cast<PCM_KEY_BODY>(Object)->KeyControlBlock;
  if (key->deleted) return STATUS_KEY_DELETED;
  if (ObjectID != nullptr) *ObjectID = reinterpret_cast<ULONG_PTR>(key);
  if (ObjectName == nullptr) return STATUS_SUCCESS;
  const ULONG length = cm::PathLength(key);
  if (length > 0xFFFC) return STATUS_NAME_TOO_LONG;
  auto* name = static_cast<PUNICODE_STRING>(
      ExAllocatePoolWithTag(PagedPool, sizeof(UNICODE_STRING) + length, cm::kTag));
  if (name == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  *name = {static_cast<USHORT>(length), static_cast<USHORT>(length), reinterpret_cast<PWCH>(name + 1)};
  cm::CopyPath(key, name->Buffer, length);
  *ObjectName = name;
  return STATUS_SUCCESS;
}

/// The same without a reference: the name stays valid while the key object does.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/CmCallbackGetKeyObjectID.
NT_EXPORT(CmCallbackGetKeyObjectID, nt::AtMost(APC_LEVEL), Full, "CmCallbacks.*");
extern "C" NTSTATUS NTAPI CmCallbackGetKeyObjectID(PLARGE_INTEGER Cookie, PVOID Object, PULONG_PTR ObjectID,
                                                   PCUNICODE_STRING* ObjectName) {
  if (ObjectName == nullptr) return CmCallbackGetKeyObjectIDEx(Cookie, Object, ObjectID, nullptr, 0);
  PCUNICODE_STRING name = nullptr;
  const NTSTATUS status = CmCallbackGetKeyObjectIDEx(Cookie, Object, ObjectID, &name, 0);
  if (!NT_SUCCESS(status)) return status;
  auto* body = static_cast<PCM_KEY_BODY>(Object);
  auto* own = static_cast<PCUNICODE_STRING>(
      InterlockedCompareExchangePointer(&body->Name, const_cast<PUNICODE_STRING>(name), nullptr));
  if (own != nullptr) CmCallbackReleaseKeyObjectIDEx(name);
  *ObjectName = own != nullptr ? own : name;
  return STATUS_SUCCESS;
}

/// The version of the interface of registry callbacks: 1.0.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/CmGetCallbackVersion.
NT_EXPORT(CmGetCallbackVersion, nt::AtMost(APC_LEVEL), Full, "CmCallbacks.*");
extern "C" VOID NTAPI CmGetCallbackVersion(PULONG Major, PULONG Minor) {
  if (Major != nullptr) *Major = 1;
  if (Minor != nullptr) *Minor = 0;
}

/// Frees a name that CmCallbackGetKeyObjectIDEx returned.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/CmCallbackReleaseKeyObjectIDEx.
NT_EXPORT(CmCallbackReleaseKeyObjectIDEx, nt::AtMost(APC_LEVEL), Full, "CmCallbacks.*");
extern "C" VOID NTAPI CmCallbackReleaseKeyObjectIDEx(PCUNICODE_STRING ObjectName) {
  if (ObjectName != nullptr) ExFreePoolWithTag(const_cast<PUNICODE_STRING>(ObjectName), cm::kTag);
}
