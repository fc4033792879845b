// Zw services on keys and values.
#include "callbacks.h"
#include "cm_internal.h"
#include "registry_query.h"
#include "ke/service_call.h"
#include "nt/export.h"

namespace cm {
namespace {

// Does `function` to the key of a handle, with the registry locked and the callbacks asked before and told
// after it. `information` is what they see: Object is filled in here.
template <typename Information, typename Function>
NTSTATUS WithKey(HANDLE handle, ACCESS_MASK wanted, RegistryLock::Access access, Notice notice,
                 Information information, Function function) {
  PVOID object;
  ACCESS_MASK granted;
  NTSTATUS status = ob::ReferenceHandle(handle, CmKeyObjectType, &object, &granted);
  if (!NT_SUCCESS(status)) return status;
  if ((granted & wanted) != wanted) {
    status = STATUS_ACCESS_DENIED;
  } else {
    auto* body = static_cast<PCM_KEY_BODY>(object);
    information.Object = object;
    status = Notified(notice, &information, &information.CallContext, body, [&] {
      RegistryLock lock(access);
      return body->KeyControlBlock->deleted ? STATUS_KEY_DELETED : function(body->KeyControlBlock);
    });
  }
  ObfDereferenceObject(object);
  return status;
}

struct KeyRequest {
  ACCESS_MASK access;
  POBJECT_ATTRIBUTES attributes;
  PUNICODE_STRING class_name;
  ULONG options;
};

// The key object that a name stands for, relative to `root` or the name space, referenced.
NTSTATUS LookupKey(const KeyRequest& request, PUNICODE_STRING name, KeyParseContext* context, PVOID* object) {
  const OBJECT_ATTRIBUTES* attributes = request.attributes;
  return ObpLookupObjectName(attributes->RootDirectory, name, attributes->Attributes, CmKeyObjectType,
                             KernelMode, context, nullptr, object);
}

NTSTATUS OpenOrCreate(PHANDLE handle, const KeyRequest& request, KeyParseContext* context) {
  *handle = nullptr;
  const OBJECT_ATTRIBUTES* attributes = request.attributes;
  context->open_link = (request.options & REG_OPTION_OPEN_LINK) != 0 ||
                       (attributes != nullptr && (attributes->Attributes & OBJ_OPENLINK) != 0);
  if (attributes == nullptr || attributes->Length != sizeof(OBJECT_ATTRIBUTES))
    return STATUS_INVALID_PARAMETER;
  UNICODE_STRING empty = {};
  PUNICODE_STRING name = attributes->ObjectName != nullptr ? attributes->ObjectName : &empty;
  PVOID root = nullptr;
  if (attributes->RootDirectory != nullptr) {
    const NTSTATUS status = ob::ReferenceHandle(attributes->RootDirectory, CmKeyObjectType, &root, nullptr);
    if (!NT_SUCCESS(status)) return status;
  }
  PVOID object = nullptr;
  REG_CREATE_KEY_INFORMATION_V1 information = {};
  information.CompleteName = name;
  information.RootObject = root;
  information.ObjectType = CmKeyObjectType;
  information.Options = request.options;
  information.Class = request.class_name;
  information.SecurityDescriptor = attributes->SecurityDescriptor;
  information.DesiredAccess = request.access;
  information.GrantedAccess = request.access;
  information.Disposition = &context->disposition;
  information.ResultObject = &object;
  information.Version = 1;
  information.RemainingName = name;
  information.Attributes = attributes->Attributes;
  information.CheckAccessMode = KernelMode;
  NTSTATUS status;
  {
    Operation operation(context->create ? kCreateKey : kOpenKey, &information, &information.CallContext,
                        static_cast<PCM_KEY_BODY>(root));
    status = operation.Before();
    if (status == STATUS_SUCCESS) {
      status = LookupKey(request, name, context, &object);
      status = operation.After(object, status);
    } else if (status == STATUS_CALLBACK_BYPASS) {  // the callback has supplied the object
      status = object != nullptr ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
    }
  }
  ACCESS_MASK granted = request.access;
  if (NT_SUCCESS(status)) status = CheckKeyAccess(object, request.access, attributes->Attributes, &granted);
  if (NT_SUCCESS(status)) status = ObpCreateHandle(object, granted, attributes->Attributes, nullptr, handle);
  if (object != nullptr) ObfDereferenceObject(object);
  if (root != nullptr) ObfDereferenceObject(root);
  return status;
}

}  // namespace
}  // namespace cm

using cm::RegistryLock;

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtCreateKey(PHANDLE KeyHandle, ACCESS_MASK DesiredAccess,
                                                        POBJECT_ATTRIBUTES ObjectAttributes, ULONG,
                                                        PUNICODE_STRING Class, ULONG CreateOptions,
                                                        PULONG Disposition) {
  cm::KeyParseContext context = {cm::kParseMagic, true, (CreateOptions & REG_OPTION_VOLATILE) != 0,
                                 REG_OPENED_EXISTING_KEY};
  context.is_link = (CreateOptions & REG_OPTION_CREATE_LINK) != 0;
  if (Class != nullptr) context.class_name = cm::TextOf(Class);
  if (ObjectAttributes != nullptr) context.security = ObjectAttributes->SecurityDescriptor;
  NTSTATUS status =
      cm::OpenOrCreate(KeyHandle, {DesiredAccess, ObjectAttributes, Class, CreateOptions}, &context);
  if (NT_SUCCESS(status) && Disposition != nullptr) *Disposition = context.disposition;
  return status;
}

/// Opens a registry key, creating it if it is not there (its parent must be).
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ZwCreateKey.
NT_EXPORT(ZwCreateKey, nt::AtMost(PASSIVE_LEVEL), Full, "KernelCm.* CmKeys.*");
extern "C" NTSTATUS NTAPI ZwCreateKey(PHANDLE KeyHandle, ACCESS_MASK DesiredAccess,
                                      POBJECT_ATTRIBUTES ObjectAttributes, ULONG TitleIndex,
                                      PUNICODE_STRING Class, ULONG CreateOptions, PULONG Disposition) {
  return ke::CallService(NtCreateKey, KeyHandle, DesiredAccess, ObjectAttributes, TitleIndex, Class,
                         CreateOptions, Disposition);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtOpenKey(PHANDLE KeyHandle, ACCESS_MASK DesiredAccess,
                                                      POBJECT_ATTRIBUTES ObjectAttributes) {
  cm::KeyParseContext context = {cm::kParseMagic, false, false, 0};
  return cm::OpenOrCreate(KeyHandle, {DesiredAccess, ObjectAttributes, nullptr, 0}, &context);
}

/// Opens a registry key.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ZwOpenKey.
NT_EXPORT(ZwOpenKey, nt::AtMost(PASSIVE_LEVEL), Full, "KernelCm.* CmKeys.*");
extern "C" NTSTATUS NTAPI ZwOpenKey(PHANDLE KeyHandle, ACCESS_MASK DesiredAccess,
                                    POBJECT_ATTRIBUTES ObjectAttributes) {
  return ke::CallService(NtOpenKey, KeyHandle, DesiredAccess, ObjectAttributes);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtOpenKeyEx(PHANDLE KeyHandle, ACCESS_MASK DesiredAccess,
                                                        POBJECT_ATTRIBUTES ObjectAttributes,
                                                        ULONG OpenOptions) {
  cm::KeyParseContext context = {cm::kParseMagic, false, false, 0};
  return cm::OpenOrCreate(KeyHandle, {DesiredAccess, ObjectAttributes, nullptr, OpenOptions}, &context);
}

/// Opens a registry key; REG_OPTION_OPEN_LINK: a link key itself.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: REG_OPTION_BACKUP_RESTORE changes nothing for callers from kernel mode, which may do
/// everything.
/// Source: WDK wdm/ZwOpenKeyEx.
NT_EXPORT(ZwOpenKeyEx, nt::AtMost(PASSIVE_LEVEL), Full, "KernelCm.* CmKeys.*");
extern "C" NTSTATUS NTAPI ZwOpenKeyEx(PHANDLE KeyHandle, ACCESS_MASK DesiredAccess,
                                      POBJECT_ATTRIBUTES ObjectAttributes, ULONG OpenOptions) {
  return ke::CallService(NtOpenKeyEx, KeyHandle, DesiredAccess, ObjectAttributes, OpenOptions);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtSetValueKey(HANDLE KeyHandle, PUNICODE_STRING ValueName,
                                                          ULONG TitleIndex, ULONG Type, PVOID Data,
                                                          ULONG DataSize) {
  if (ValueName->Length % sizeof(WCHAR) != 0 || ValueName->Length > 16383 * sizeof(WCHAR))
    return STATUS_INVALID_PARAMETER;
  const REG_SET_VALUE_KEY_INFORMATION information = {nullptr,  ValueName, TitleIndex, Type, Data,
                                                     DataSize, {},        {},         {}};
  return cm::WithKey(KeyHandle, KEY_SET_VALUE, RegistryLock::Access::kExclusive, cm::kSetValueKey,
                     information, [&](cm::Key* key) {
                       NTSTATUS status =
                           cm::StatusOf(cm::SetValue(key, cm::TextOf(ValueName), Type, Data, DataSize));
                       if (NT_SUCCESS(status)) cm::MarkChanged(key, REG_NOTIFY_CHANGE_LAST_SET);
                       return status;
                     });
}

/// Sets a value of a key.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ZwSetValueKey.
NT_EXPORT(ZwSetValueKey, nt::AtMost(PASSIVE_LEVEL), Full, "KernelCm.*");
extern "C" NTSTATUS NTAPI ZwSetValueKey(HANDLE KeyHandle, PUNICODE_STRING ValueName, ULONG TitleIndex,
                                        ULONG Type, PVOID Data, ULONG DataSize) {
  return ke::CallService(NtSetValueKey, KeyHandle, ValueName, TitleIndex, Type, Data, DataSize);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtQueryValueKey(HANDLE KeyHandle, PUNICODE_STRING ValueName,
                                                            KEY_VALUE_INFORMATION_CLASS InformationClass,
                                                            PVOID Information, ULONG Length,
                                                            PULONG ResultLength) {
  const REG_QUERY_VALUE_KEY_INFORMATION information = {
      nullptr, ValueName, InformationClass, Information, Length, ResultLength, {}, {}, {}};
  return cm::WithKey(KeyHandle, KEY_QUERY_VALUE, RegistryLock::Access::kShared, cm::kQueryValueKey,
                     information, [&](cm::Key* key) {
                       const cm::Value* value = cm::FindValue(key, cm::TextOf(ValueName));
                       if (value == nullptr) return STATUS_OBJECT_NAME_NOT_FOUND;
                       return cm::QueryValue(value, InformationClass, Information, Length, ResultLength);
                     });
}

/// A value of a key.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ZwQueryValueKey.
NT_EXPORT(ZwQueryValueKey, nt::AtMost(PASSIVE_LEVEL), Full, "KernelCm.* CmKeys.*");
extern "C" NTSTATUS NTAPI ZwQueryValueKey(HANDLE KeyHandle, PUNICODE_STRING ValueName,
                                          KEY_VALUE_INFORMATION_CLASS InformationClass, PVOID Information,
                                          ULONG Length, PULONG ResultLength) {
  return ke::CallService(NtQueryValueKey, KeyHandle, ValueName, InformationClass, Information, Length,
                         ResultLength);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtEnumerateValueKey(HANDLE KeyHandle, ULONG Index,
                                                                KEY_VALUE_INFORMATION_CLASS InformationClass,
                                                                PVOID Information, ULONG Length,
                                                                PULONG ResultLength) {
  const REG_ENUMERATE_VALUE_KEY_INFORMATION information = {
      nullptr, Index, InformationClass, Information, Length, ResultLength, {}, {}, {}};
  return cm::WithKey(KeyHandle, KEY_QUERY_VALUE, RegistryLock::Access::kShared, cm::kEnumerateValueKey,
                     information, [&](cm::Key* key) {
                       const cm::Value* value = cm::ValueAt(key, Index);
                       if (value == nullptr) return STATUS_NO_MORE_ENTRIES;
                       return cm::QueryValue(value, InformationClass, Information, Length, ResultLength);
                     });
}

/// The value at an index of a key, in the order in which they were set.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ZwEnumerateValueKey.
NT_EXPORT(ZwEnumerateValueKey, nt::AtMost(PASSIVE_LEVEL), Full, "KernelCm.* CmKeys.*");
extern "C" NTSTATUS NTAPI ZwEnumerateValueKey(HANDLE KeyHandle, ULONG Index,
                                              KEY_VALUE_INFORMATION_CLASS InformationClass, PVOID Information,
                                              ULONG Length, PULONG ResultLength) {
  return ke::CallService(NtEnumerateValueKey, KeyHandle, Index, InformationClass, Information, Length,
                         ResultLength);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtQueryKey(HANDLE KeyHandle,
                                                       KEY_INFORMATION_CLASS InformationClass,
                                                       PVOID Information, ULONG Length, PULONG ResultLength) {
  const ACCESS_MASK access = InformationClass == KeyNameInformation ? 0 : KEY_QUERY_VALUE;
  const REG_QUERY_KEY_INFORMATION information = {
      nullptr, InformationClass, Information, Length, ResultLength, {}, {}, {}};
  return cm::WithKey(
      KeyHandle, access, RegistryLock::Access::kShared, cm::kQueryKey, information,
      [&](cm::Key* key) { return cm::QueryKey(key, InformationClass, Information, Length, ResultLength); });
}

/// Facts of a key: times, number and lengths of what is in it, its name.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none; the classes that the documentation reserves answer STATUS_INVALID_PARAMETER.
/// Source: WDK wdm/ZwQueryKey.
NT_EXPORT(ZwQueryKey, nt::AtMost(PASSIVE_LEVEL), Full, "KernelCm.* CmKeys.*");
extern "C" NTSTATUS NTAPI ZwQueryKey(HANDLE KeyHandle, KEY_INFORMATION_CLASS InformationClass,
                                     PVOID Information, ULONG Length, PULONG ResultLength) {
  return ke::CallService(NtQueryKey, KeyHandle, InformationClass, Information, Length, ResultLength);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtEnumerateKey(HANDLE KeyHandle, ULONG Index,
                                                           KEY_INFORMATION_CLASS InformationClass,
                                                           PVOID Information, ULONG Length,
                                                           PULONG ResultLength) {
  const REG_ENUMERATE_KEY_INFORMATION information = {
      nullptr, Index, InformationClass, Information, Length, ResultLength, {}, {}, {}};
  return cm::WithKey(KeyHandle, KEY_ENUMERATE_SUB_KEYS, RegistryLock::Access::kShared, cm::kEnumerateKey,
                     information, [&](cm::Key* key) {
                       const cm::Key* child = cm::ChildAt(key, Index);
                       if (child == nullptr) return STATUS_NO_MORE_ENTRIES;
                       return cm::QueryKey(child, InformationClass, Information, Length, ResultLength);
                     });
}

/// The subkey at an index of a key, in alphabetical order.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ZwEnumerateKey.
NT_EXPORT(ZwEnumerateKey, nt::AtMost(PASSIVE_LEVEL), Full, "KernelCm.* CmKeys.*");
extern "C" NTSTATUS NTAPI ZwEnumerateKey(HANDLE KeyHandle, ULONG Index,
                                         KEY_INFORMATION_CLASS InformationClass, PVOID Information,
                                         ULONG Length, PULONG ResultLength) {
  return ke::CallService(NtEnumerateKey, KeyHandle, Index, InformationClass, Information, Length,
                         ResultLength);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtDeleteKey(HANDLE KeyHandle) {
  return cm::WithKey(KeyHandle, DELETE, RegistryLock::Access::kExclusive, cm::kDeleteKey,
                     REG_DELETE_KEY_INFORMATION{}, [](cm::Key* key) {
                       if (key->first_child != nullptr || key == cm::g_root || key == cm::g_system)
                         return STATUS_CANNOT_DELETE;
                       cm::Key* parent = key->parent;
                       if (cm::InSystemHive(key)) cm::g_dirty = true;
                       cm::TellWatchers(key, REG_NOTIFY_CHANGE_NAME);
                       cm::RemoveKey(key);
                       if (parent != nullptr) cm::MarkChanged(parent, REG_NOTIFY_CHANGE_NAME);
                       return STATUS_SUCCESS;
                     });
}

/// Deletes a key without subkeys; open handles to it answer STATUS_KEY_DELETED from then on.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ZwDeleteKey.
NT_EXPORT(ZwDeleteKey, nt::AtMost(PASSIVE_LEVEL), Full, "KernelCm.*");
extern "C" NTSTATUS NTAPI ZwDeleteKey(HANDLE KeyHandle) {
  return ke::CallService(NtDeleteKey, KeyHandle);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtDeleteValueKey(HANDLE KeyHandle, PUNICODE_STRING ValueName) {
  const REG_DELETE_VALUE_KEY_INFORMATION information = {nullptr, ValueName, {}, {}, {}};
  return cm::WithKey(KeyHandle, KEY_SET_VALUE, RegistryLock::Access::kExclusive, cm::kDeleteValueKey,
                     information, [&](cm::Key* key) {
                       if (!cm::DeleteValue(key, cm::TextOf(ValueName))) return STATUS_OBJECT_NAME_NOT_FOUND;
                       cm::MarkChanged(key, REG_NOTIFY_CHANGE_LAST_SET);
                       return STATUS_SUCCESS;
                     });
}

/// Deletes a value of a key.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ZwDeleteValueKey.
NT_EXPORT(ZwDeleteValueKey, nt::AtMost(PASSIVE_LEVEL), Full, "KernelCm.*");
extern "C" NTSTATUS NTAPI ZwDeleteValueKey(HANDLE KeyHandle, PUNICODE_STRING ValueName) {
  return ke::CallService(NtDeleteValueKey, KeyHandle, ValueName);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtFlushKey(HANDLE KeyHandle) {
  PVOID object;
  NTSTATUS status = ob::ReferenceHandle(KeyHandle, CmKeyObjectType, &object, nullptr);
  if (!NT_SUCCESS(status)) return status;
  REG_FLUSH_KEY_INFORMATION information = {};
  information.Object = object;
  status = cm::Notified(cm::kFlushKey, &information, &information.CallContext,
                        static_cast<PCM_KEY_BODY>(object), [] { return CmFlushHives(); });
  ObfDereferenceObject(object);
  return status;
}

/// Writes the registry out.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: the whole hive is written, whatever the key.
/// Source: WDK wdm/ZwFlushKey.
NT_EXPORT(ZwFlushKey, nt::AtMost(PASSIVE_LEVEL), Full, "KernelCm.*");
extern "C" NTSTATUS NTAPI ZwFlushKey(HANDLE KeyHandle) {
  return ke::CallService(NtFlushKey, KeyHandle);
}
