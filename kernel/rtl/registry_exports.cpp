// Registry helpers over the Zw services. The caller runs at PASSIVE_LEVEL.
#include "environment.h"

namespace {

constexpr ULONG kTag = 'gerR';
constexpr USHORT kPathBytes = 1024;

// A key opened for one call; closes only what it opened itself.
struct Key {
  HANDLE handle = nullptr;
  bool owned = false;

  void Close() {
    if (owned && handle != nullptr) ZwClose(handle);
    handle = nullptr;
    owned = false;
  }
};

const WCHAR* RootOf(ULONG relative_to) {
  switch (relative_to & 0xFF) {
    case RTL_REGISTRY_SERVICES:
      return L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\";
    case RTL_REGISTRY_CONTROL:
      return L"\\Registry\\Machine\\System\\CurrentControlSet\\Control\\";
    case RTL_REGISTRY_WINDOWS_NT:
      return L"\\Registry\\Machine\\Software\\Microsoft\\Windows NT\\CurrentVersion\\";
    case RTL_REGISTRY_DEVICEMAP:
      return L"\\Registry\\Machine\\Hardware\\DeviceMap\\";
    case RTL_REGISTRY_USER:
      return L"\\Registry\\User\\.Default\\";
    default:
      return L"";
  }
}

NTSTATUS OpenPath(HANDLE root, PUNICODE_STRING path, ACCESS_MASK access, bool create, Key* key) {
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, path, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, root, nullptr);
  const NTSTATUS status =
      create ? ZwCreateKey(&key->handle, access, &attributes, 0, nullptr, REG_OPTION_NON_VOLATILE, nullptr)
             : ZwOpenKey(&key->handle, access, &attributes);
  key->owned = NT_SUCCESS(status);
  return status;
}

NTSTATUS OpenKey(ULONG relative_to, PCWSTR path, ACCESS_MASK access, bool create, Key* key) {
  if ((relative_to & RTL_REGISTRY_HANDLE) != 0) {
    key->handle = reinterpret_cast<HANDLE>(const_cast<PWSTR>(path));
    return STATUS_SUCCESS;
  }
  if ((relative_to & 0xFF) >= RTL_REGISTRY_MAXIMUM) return STATUS_INVALID_PARAMETER;
  UNICODE_STRING whole = {};
  whole.Buffer = static_cast<PWSTR>(ExAllocatePoolWithTag(PagedPool, kPathBytes, kTag));
  if (whole.Buffer == nullptr) return STATUS_NO_MEMORY;
  whole.MaximumLength = kPathBytes;
  NTSTATUS status = RtlAppendUnicodeToString(&whole, RootOf(relative_to));
  if (NT_SUCCESS(status)) status = RtlAppendUnicodeToString(&whole, path);
  while (whole.Length > sizeof(WCHAR) && whole.Buffer[whole.Length / sizeof(WCHAR) - 1] == '\\')
    whole.Length -= sizeof(WCHAR);
  if (NT_SUCCESS(status)) status = OpenPath(nullptr, &whole, access, create, key);
  ExFreePoolWithTag(whole.Buffer, kTag);
  return status;
}

// What the routines of a table get, and what its values are expanded by.
struct Call {
  PVOID context;
  const WCHAR* environment;
};

bool IsText(ULONG type) {
  return type == REG_SZ || type == REG_EXPAND_SZ || type == REG_MULTI_SZ;
}

// The bytes of a default value whose length the caller left to be found.
ULONG DefaultBytes(const RTL_QUERY_REGISTRY_TABLE& entry, ULONG type) {
  if (entry.DefaultLength != 0 || !IsText(type) || entry.DefaultData == nullptr) return entry.DefaultLength;
  auto* text = static_cast<const WCHAR*>(entry.DefaultData);
  ULONG units = 0;
  while (text[units] != 0 || (type == REG_MULTI_SZ && text[units + 1] != 0)) ++units;
  return (units + (type == REG_MULTI_SZ ? 2 : 1)) * sizeof(WCHAR);
}

// RTL_QUERY_REGISTRY_DIRECT: text goes to a UNICODE_STRING; up to four bytes as they are; longer data to a
// buffer whose first LONG gives its size: negative, and the data goes over it, or positive, and length and
// type precede the data.
NTSTATUS StoreText(PUNICODE_STRING out, const void* data, ULONG bytes) {
  if (bytes > 0xFFFE) return STATUS_BUFFER_TOO_SMALL;
  if (out->Buffer == nullptr) {
    out->Buffer = static_cast<PWSTR>(ExAllocatePoolWithTag(PagedPool, bytes + sizeof(WCHAR), kTag));
    if (out->Buffer == nullptr) return STATUS_NO_MEMORY;
    out->MaximumLength = static_cast<USHORT>(bytes);
  } else if (bytes > out->MaximumLength) {
    return STATUS_BUFFER_TOO_SMALL;
  }
  RtlCopyMemory(out->Buffer, data, bytes);
  const bool terminated = bytes >= sizeof(WCHAR) && out->Buffer[bytes / sizeof(WCHAR) - 1] == 0;
  out->Length = static_cast<USHORT>(terminated ? bytes - sizeof(WCHAR) : bytes);
  return STATUS_SUCCESS;
}

NTSTATUS StoreDirect(PVOID context, ULONG type, const void* data, ULONG bytes) {
  if (IsText(type)) return StoreText(static_cast<PUNICODE_STRING>(context), data, bytes);
  if (bytes <= sizeof(ULONG)) {
    RtlCopyMemory(context, data, bytes);
    return STATUS_SUCCESS;
  }
  const LONG room = *static_cast<LONG*>(context);
  if (room < 0) {
    if (static_cast<ULONG>(-static_cast<LONGLONG>(room)) < bytes) return STATUS_BUFFER_TOO_SMALL;
    RtlCopyMemory(context, data, bytes);
    return STATUS_SUCCESS;
  }
  if (static_cast<ULONG>(room) < bytes) return STATUS_BUFFER_TOO_SMALL;
  static_cast<ULONG*>(context)[0] = bytes;
  static_cast<ULONG*>(context)[1] = type;
  RtlCopyMemory(static_cast<ULONG*>(context) + 2, data, bytes);
  return STATUS_SUCCESS;
}

NTSTATUS CallRoutine(const RTL_QUERY_REGISTRY_TABLE& entry, PWSTR name, ULONG type, PVOID data, ULONG bytes,
                     PVOID context) {
  const NTSTATUS status = entry.QueryRoutine(name, type, data, bytes, context, entry.EntryContext);
  return status == STATUS_BUFFER_TOO_SMALL ? STATUS_SUCCESS : status;
}

NTSTATUS DeliverPlain(const RTL_QUERY_REGISTRY_TABLE& entry, PWSTR name, ULONG type, PVOID data, ULONG bytes,
                      PVOID context) {
  if ((entry.Flags & RTL_QUERY_REGISTRY_DIRECT) != 0)
    return StoreDirect(entry.EntryContext, type, data, bytes);
  if (type != REG_MULTI_SZ || (entry.Flags & RTL_QUERY_REGISTRY_NOEXPAND) != 0) {
    return CallRoutine(entry, name, type, data, bytes, context);
  }
  auto* text = static_cast<WCHAR*>(data);
  const ULONG units = bytes / sizeof(WCHAR);
  NTSTATUS status = STATUS_SUCCESS;
  for (ULONG start = 0; start < units && text[start] != 0 && NT_SUCCESS(status);) {
    ULONG end = start;
    while (end < units && text[end] != 0) ++end;
    const ULONG length = (end < units ? end - start + 1 : end - start) * sizeof(WCHAR);
    status = CallRoutine(entry, name, REG_SZ, text + start, length, context);
    start = end + 1;
  }
  return status;
}

NTSTATUS Deliver(const RTL_QUERY_REGISTRY_TABLE& entry, PWSTR name, ULONG type, PVOID data, ULONG bytes,
                 const Call& call) {
  if (type != REG_EXPAND_SZ || data == nullptr || (entry.Flags & RTL_QUERY_REGISTRY_NOEXPAND) != 0)
    return DeliverPlain(entry, name, type, data, bytes, call.context);
  WCHAR* expanded;
  NTSTATUS status =
      rtl::ExpandVariables(static_cast<WCHAR*>(data), bytes, call.environment, &expanded, &bytes);
  if (!NT_SUCCESS(status)) return status;
  status = DeliverPlain(entry, name, REG_SZ, expanded, bytes, call.context);
  ExFreePool(expanded);
  return status;
}

PKEY_VALUE_FULL_INFORMATION AllocateValue(ULONG bytes) {
  return static_cast<PKEY_VALUE_FULL_INFORMATION>(
      ExAllocatePoolWithTag(PagedPool, bytes + 2 * sizeof(WCHAR), kTag));
}

// Reads a value by name, or by index when there is no name; the caller frees *value.
NTSTATUS ReadValue(HANDLE key, PCWSTR name, ULONG index, PKEY_VALUE_FULL_INFORMATION* value) {
  ULONG bytes = 256;
  for (;;) {
    *value = AllocateValue(bytes);
    if (*value == nullptr) return STATUS_NO_MEMORY;
    UNICODE_STRING string;
    RtlInitUnicodeString(&string, name);
    ULONG needed = 0;
    const NTSTATUS status =
        name != nullptr ? ZwQueryValueKey(key, &string, KeyValueFullInformation, *value, bytes, &needed)
                        : ZwEnumerateValueKey(key, index, KeyValueFullInformation, *value, bytes, &needed);
    if (NT_SUCCESS(status)) return status;
    ExFreePoolWithTag(*value, kTag);
    *value = nullptr;
    if ((status != STATUS_BUFFER_OVERFLOW && status != STATUS_BUFFER_TOO_SMALL) || needed <= bytes)
      return status;
    bytes = needed;
  }
}

NTSTATUS DeliverValue(const RTL_QUERY_REGISTRY_TABLE& entry, PKEY_VALUE_FULL_INFORMATION value,
                      const Call& call) {
  if ((entry.Flags & RTL_QUERY_REGISTRY_TYPECHECK) != 0 && (entry.Flags & RTL_QUERY_REGISTRY_DIRECT) != 0) {
    const ULONG wanted = entry.DefaultType >> RTL_QUERY_REGISTRY_TYPECHECK_SHIFT;
    if (wanted != REG_NONE && wanted != value->Type) return STATUS_OBJECT_TYPE_MISMATCH;
  }
  // The name, terminated, in a buffer of its own: the data may follow it directly.
  auto* name = static_cast<PWSTR>(ExAllocatePoolWithTag(PagedPool, value->NameLength + sizeof(WCHAR), kTag));
  if (name == nullptr) return STATUS_NO_MEMORY;
  RtlCopyMemory(name, value->Name, value->NameLength);
  name[value->NameLength / sizeof(WCHAR)] = 0;
  const NTSTATUS status = Deliver(
      entry, name, value->Type, reinterpret_cast<UCHAR*>(value) + value->DataOffset, value->DataLength, call);
  ExFreePoolWithTag(name, kTag);
  return status;
}

NTSTATUS DeliverAll(const RTL_QUERY_REGISTRY_TABLE& entry, HANDLE key, const Call& call) {
  ULONG index = 0;
  for (;; ++index) {
    PKEY_VALUE_FULL_INFORMATION value;
    NTSTATUS status = ReadValue(key, nullptr, index, &value);
    if (status == STATUS_NO_MORE_ENTRIES) break;
    if (!NT_SUCCESS(status)) return status;
    status = DeliverValue(entry, value, call);
    ExFreePoolWithTag(value, kTag);
    if (!NT_SUCCESS(status)) return status;
  }
  return index == 0 && (entry.Flags & RTL_QUERY_REGISTRY_REQUIRED) != 0 ? STATUS_OBJECT_NAME_NOT_FOUND
                                                                        : STATUS_SUCCESS;
}

NTSTATUS DeliverNamed(const RTL_QUERY_REGISTRY_TABLE& entry, HANDLE key, const Call& call) {
  PKEY_VALUE_FULL_INFORMATION value = nullptr;
  NTSTATUS status = key != nullptr ? ReadValue(key, entry.Name, 0, &value) : STATUS_OBJECT_NAME_NOT_FOUND;
  if (NT_SUCCESS(status)) {
    status = DeliverValue(entry, value, call);
    ExFreePoolWithTag(value, kTag);
    if (NT_SUCCESS(status) && (entry.Flags & RTL_QUERY_REGISTRY_DELETE) != 0) {
      UNICODE_STRING name;
      RtlInitUnicodeString(&name, entry.Name);
      ZwDeleteValueKey(key, &name);
    }
    return status;
  }
  if (status != STATUS_OBJECT_NAME_NOT_FOUND) return status;
  const ULONG type = entry.DefaultType & 0xFF;
  if (type == REG_NONE) return (entry.Flags & RTL_QUERY_REGISTRY_REQUIRED) != 0 ? status : STATUS_SUCCESS;
  return Deliver(entry, const_cast<PWSTR>(entry.Name), type, entry.DefaultData, DefaultBytes(entry, type),
                 call);
}

struct KeyName {  // KEY_NAME_INFORMATION
  ULONG NameLength;
  WCHAR Name[1];
};

bool IsTrustedName(const UNICODE_STRING& name) {
  static constexpr const WCHAR* kHives[] = {L"\\REGISTRY\\MACHINE\\HARDWARE",
                                            L"\\REGISTRY\\MACHINE\\SOFTWARE", L"\\REGISTRY\\MACHINE\\SYSTEM",
                                            L"\\REGISTRY\\MACHINE\\SECURITY", L"\\REGISTRY\\MACHINE\\SAM"};
  for (const WCHAR* text : kHives) {
    UNICODE_STRING hive;
    RtlInitUnicodeString(&hive, text);
    if (RtlPrefixUnicodeString(&hive, &name, TRUE) &&
        (name.Length == hive.Length || name.Buffer[hive.Length / sizeof(WCHAR)] == L'\\'))
      return true;
  }
  return false;
}

// Whether only the system writes to the hive of a key. Fails where the key's name cannot be had.
NTSTATUS FindTrust(HANDLE key, bool* trusted) {
  ULONG bytes = 0;
  (void)ZwQueryKey(key, KeyNameInformation, nullptr, 0, &bytes);
  auto* name = static_cast<KeyName*>(ExAllocatePoolWithTag(PagedPool, bytes + 1, kTag));
  if (name == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  const NTSTATUS status = ZwQueryKey(key, KeyNameInformation, name, bytes, &bytes);
  if (NT_SUCCESS(status)) {
    const auto length = static_cast<USHORT>(name->NameLength);
    *trusted = IsTrustedName({length, length, name->Name});
  }
  ExFreePoolWithTag(name, kTag);
  return status;
}

// A direct read without a check of the type: whoever can write there could overrun the driver's buffer.
NTSTATUS CheckUntypedRead(HANDLE key) {
  constexpr ULONG kUnsafeRegistryAccess = 9;  // FAST_FAIL_UNSAFE_REGISTRY_ACCESS
  bool trusted = false;
  const NTSTATUS status = FindTrust(key, &trusted);
  if (NT_SUCCESS(status) && !trusted) __fastfail(kUnsafeRegistryAccess);
  return status;
}

NTSTATUS QueryEntry(const RTL_QUERY_REGISTRY_TABLE& entry, HANDLE top, Key* current, const Call& call) {
  if ((entry.Flags & (RTL_QUERY_REGISTRY_SUBKEY | RTL_QUERY_REGISTRY_TOPKEY)) != 0) {
    current->Close();
    current->handle = top;
  }
  if ((entry.Flags & RTL_QUERY_REGISTRY_SUBKEY) != 0) {
    if (entry.Name == nullptr) return STATUS_INVALID_PARAMETER;
    UNICODE_STRING path;
    RtlInitUnicodeString(&path, entry.Name);
    current->handle = nullptr;
    const NTSTATUS status = top != nullptr ? OpenPath(top, &path, KEY_READ | KEY_WRITE, false, current)
                                           : STATUS_OBJECT_NAME_NOT_FOUND;
    if (!NT_SUCCESS(status))
      return (entry.Flags & RTL_QUERY_REGISTRY_REQUIRED) != 0 ? status : STATUS_SUCCESS;
    return entry.QueryRoutine != nullptr ? DeliverAll(entry, current->handle, call) : STATUS_SUCCESS;
  }
  const bool direct = (entry.Flags & RTL_QUERY_REGISTRY_DIRECT) != 0;
  if (direct && (entry.Name == nullptr || entry.QueryRoutine != nullptr)) return STATUS_INVALID_PARAMETER;
  if (direct && (entry.Flags & RTL_QUERY_REGISTRY_TYPECHECK) == 0 && current->handle != nullptr) {
    const NTSTATUS status = CheckUntypedRead(current->handle);
    if (!NT_SUCCESS(status)) return status;
  }
  if (!direct && entry.QueryRoutine == nullptr) return STATUS_SUCCESS;  // a TOPKEY entry alone
  if ((entry.Flags & RTL_QUERY_REGISTRY_NOVALUE) != 0)
    return CallRoutine(entry, nullptr, REG_NONE, nullptr, 0, call.context);
  if (entry.Name != nullptr) return DeliverNamed(entry, current->handle, call);
  return current->handle != nullptr ? DeliverAll(entry, current->handle, call) : STATUS_SUCCESS;
}

}  // namespace

extern "C" {

/// Reads registry values by a table: into buffers, or through the caller's routine, which gets expanded text
/// as REG_SZ. A direct read without a check of the type from a hive that is not the system's is bug check
/// 0x139 (9).
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/RtlQueryRegistryValues.
NT_EXPORT(RtlQueryRegistryValues, nt::Exactly(PASSIVE_LEVEL), Full, "RtlRegistry.*");
NTSTATUS NTAPI RtlQueryRegistryValues(ULONG RelativeTo, PCWSTR Path, PRTL_QUERY_REGISTRY_TABLE QueryTable,
                                      PVOID Context, PVOID Environment) {
  Key top;
  NTSTATUS status = OpenKey(RelativeTo, Path, KEY_READ | KEY_WRITE, false, &top);
  if (!NT_SUCCESS(status) && (RelativeTo & RTL_REGISTRY_OPTIONAL) == 0) return status;
  Key current;
  current.handle = top.handle;
  status = STATUS_SUCCESS;
  for (; NT_SUCCESS(status) && (QueryTable->QueryRoutine != nullptr || QueryTable->Name != nullptr);
       ++QueryTable) {
    status = QueryEntry(*QueryTable, top.handle, &current, {Context, static_cast<const WCHAR*>(Environment)});
  }
  current.Close();
  top.Close();
  return status;
}

/// Writes a value, making the key if it is missing.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/RtlWriteRegistryValue.
NT_EXPORT(RtlWriteRegistryValue, nt::Exactly(PASSIVE_LEVEL), Full, "RtlRegistry.*");
NTSTATUS NTAPI RtlWriteRegistryValue(ULONG RelativeTo, PCWSTR Path, PCWSTR ValueName, ULONG ValueType,
                                     PVOID ValueData, ULONG ValueLength) {
  Key key;
  NTSTATUS status = OpenKey(RelativeTo, Path, KEY_WRITE, true, &key);
  if (!NT_SUCCESS(status)) return status;
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, ValueName);
  status = ZwSetValueKey(key.handle, &name, 0, ValueType, ValueData, ValueLength);
  key.Close();
  return status;
}

/// Tells by its status whether a key exists.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/RtlCheckRegistryKey.
NT_EXPORT(RtlCheckRegistryKey, nt::Exactly(PASSIVE_LEVEL), Full, "RtlRegistry.*");
NTSTATUS NTAPI RtlCheckRegistryKey(ULONG RelativeTo, PWSTR Path) {
  Key key;
  const NTSTATUS status = OpenKey(RelativeTo, Path, KEY_READ, false, &key);
  key.Close();
  return status;
}

/// Makes a key; one that exists is success too.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/RtlCreateRegistryKey.
NT_EXPORT(RtlCreateRegistryKey, nt::Exactly(PASSIVE_LEVEL), Full, "RtlRegistry.*");
NTSTATUS NTAPI RtlCreateRegistryKey(ULONG RelativeTo, PWSTR Path) {
  Key key;
  const NTSTATUS status = OpenKey(RelativeTo, Path, KEY_WRITE, true, &key);
  key.Close();
  return status;
}

/// Deletes a value.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/RtlDeleteRegistryValue.
NT_EXPORT(RtlDeleteRegistryValue, nt::Exactly(PASSIVE_LEVEL), Full, "RtlRegistry.*");
NTSTATUS NTAPI RtlDeleteRegistryValue(ULONG RelativeTo, PCWSTR Path, PCWSTR ValueName) {
  Key key;
  NTSTATUS status = OpenKey(RelativeTo, Path, KEY_WRITE, false, &key);
  if (!NT_SUCCESS(status)) return status;
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, ValueName);
  status = ZwDeleteValueKey(key.handle, &name);
  key.Close();
  return status;
}

/// Reports a failed assertion of a checked driver and stops at a breakpoint: nobody is there to answer a
/// prompt.
/// IRQL: any.
/// Differs from NT: none, as no debugger is attached.
/// Source: WDK ntddk, macro ASSERT.
NT_EXPORT(RtlAssert, nt::AnyIrql(), Full, "RtlRegistry.AssertIsExported");
VOID NTAPI RtlAssert(PVOID FailedAssertion, PVOID FileName, ULONG LineNumber, PSTR Message) {
  DbgPrint("*** Assertion failed: %s%s\n***   Source File: %s, line %u\n", Message != nullptr ? Message : "",
           static_cast<const char*>(FailedAssertion), static_cast<const char*>(FileName), LineNumber);
  __debugbreak();
}

}  // extern "C"
