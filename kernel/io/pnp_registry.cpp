// Plug and play's part of the registry: Enum (a key a device), CriticalDeviceDatabase (a service by hardware
// identifier: what an INF would say).
#include "pnp_internal.h"

namespace pnp {
namespace {

constexpr wchar_t kEnum[] = L"\\Registry\\Machine\\System\\CurrentControlSet\\Enum\\";
constexpr wchar_t kDatabase[] =
    L"\\Registry\\Machine\\System\\CurrentControlSet\\Control\\CriticalDeviceDatabase\\";

OBJECT_ATTRIBUTES Attributes(HANDLE root, PUNICODE_STRING path) {
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, path, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, root, nullptr);
  return attributes;
}

// The database's key of an identifier: a backslash cannot be in a key's name.
void DatabaseKey(PCUNICODE_STRING id, Name* name) {
  name->Append(kDatabase);
  const USHORT first = name->length() / sizeof(WCHAR);
  name->Append(id);
  name->Replace(L'\\', L'#', first);
}

NTSTATUS CopyValue(HANDLE from, Key& to, const wchar_t* name) {
  Value value;
  if (!NT_SUCCESS(value.Read(from, name))) return STATUS_SUCCESS;
  return to.Set(name, value.type(), value.data(), value.size());
}

constexpr wchar_t kParameters[] = L"Device Parameters";

// One value of the database for a device: its name's path names the keys.
void WriteParameter(HANDLE device, PKEY_VALUE_FULL_INFORMATION value) {
  const USHORT units = static_cast<USHORT>(value->NameLength / sizeof(WCHAR));
  USHORT leaf = units;
  while (leaf != 0 && value->Name[leaf - 1] != L'\\') --leaf;
  Name path, name;
  path.Append(kParameters);
  if (leaf != 0) path.Append(L"\\").Append(value->Name, (leaf - 1u) * sizeof(WCHAR));
  name.Append(value->Name + leaf, (units - leaf) * sizeof(WCHAR));
  if (!NT_SUCCESS(path.Status()) || !NT_SUCCESS(name.Status())) return;
  Key key;
  if (NT_SUCCESS(key.Create(device, path.Get(), KEY_ALL_ACCESS, false)))
    key.Set(name.Get()->Buffer, value->Type, reinterpret_cast<UCHAR*>(value) + value->DataOffset,
            value->DataLength);
}

void CopyParameters(HANDLE entry, HANDLE device) {
  constexpr ULONG kSize = 1024;
  UNICODE_STRING name = ob::String(kParameters);
  Key parameters;
  if (!NT_SUCCESS(parameters.Open(entry, &name, KEY_READ))) return;
  auto* value =
      static_cast<PKEY_VALUE_FULL_INFORMATION>(ExAllocatePoolWithTag(NonPagedPoolNx, kSize, kNodeTag));
  if (value == nullptr) return;
  ULONG length;
  for (ULONG i = 0;
       NT_SUCCESS(ZwEnumerateValueKey(parameters.get(), i, KeyValueFullInformation, value, kSize, &length));
       ++i)
    WriteParameter(device, value);
  ExFreePoolWithTag(value, kNodeTag);
}

bool ListHas(HANDLE key, const wchar_t* value_name, PCUNICODE_STRING id) {
  Value ids;
  if (!NT_SUCCESS(ids.Read(key, value_name)) || ids.Text() == nullptr) return false;
  for (PCWSTR at = ids.Text(); *at != 0;) {
    const UNICODE_STRING text = ob::String(at);
    if (RtlEqualUnicodeString(&text, id, TRUE)) return true;
    at += text.Length / sizeof(WCHAR) + 1;
  }
  return false;
}

// Fills the device's key from the first identifier that the database knows.
bool ConfigureFrom(PCWSTR ids, Key& key) {
  for (PCWSTR id = ids; id != nullptr && *id != 0;) {
    const UNICODE_STRING text = ob::String(id);
    Name path;
    DatabaseKey(&text, &path);
    Key entry;
    Value service;
    if (NT_SUCCESS(path.Status()) && NT_SUCCESS(entry.Open(nullptr, path.Get(), KEY_READ)) &&
        NT_SUCCESS(service.Read(entry.get(), L"Service"))) {
      const wchar_t* const values[] = {L"Service", L"ClassGUID", L"UpperFilters", L"LowerFilters"};
      for (const wchar_t* value : values) CopyValue(entry.get(), key, value);
      CopyParameters(entry.get(), key.get());
      return true;
    }
    id += text.Length / sizeof(WCHAR) + 1;
  }
  return false;
}

}  // namespace

NTSTATUS Key::Open(HANDLE root, PUNICODE_STRING path, ACCESS_MASK access) {
  Close();
  OBJECT_ATTRIBUTES attributes = Attributes(root, path);
  return ZwOpenKey(&handle_, access, &attributes);
}

NTSTATUS Key::Create(HANDLE root, PUNICODE_STRING path, ACCESS_MASK access, bool persistent) {
  Close();
  const ULONG options = persistent ? REG_OPTION_NON_VOLATILE : REG_OPTION_VOLATILE;
  OBJECT_ATTRIBUTES attributes = Attributes(root, path);
  NTSTATUS status = ZwCreateKey(&handle_, access, &attributes, 0, nullptr, options, nullptr);
  if (status != STATUS_OBJECT_NAME_NOT_FOUND) return status;
  UNICODE_STRING part = *path;
  for (USHORT at = 1; at <= path->Length / sizeof(WCHAR); ++at) {
    if (at != path->Length / sizeof(WCHAR) && path->Buffer[at] != L'\\') continue;
    Close();
    part.Length = static_cast<USHORT>(at * sizeof(WCHAR));
    attributes = Attributes(root, &part);
    // A key above may get persistent ones below it too, so it stays where it can.
    const bool last = part.Length == path->Length;
    status = ZwCreateKey(&handle_, access, &attributes, 0, nullptr, last ? options : REG_OPTION_NON_VOLATILE,
                         nullptr);
    if (status == STATUS_CHILD_MUST_BE_VOLATILE)
      status = ZwCreateKey(&handle_, access, &attributes, 0, nullptr, REG_OPTION_VOLATILE, nullptr);
  }
  return status;
}

NTSTATUS Key::Set(const wchar_t* name, ULONG type, const void* data, ULONG size) {
  UNICODE_STRING value = ob::String(name);
  return ZwSetValueKey(handle_, &value, 0, type, const_cast<void*>(data), size);
}

NTSTATUS Key::SetText(const wchar_t* name, PCWSTR text) {
  const UNICODE_STRING string = ob::String(text);
  return Set(name, REG_SZ, text, string.Length + sizeof(WCHAR));
}

NTSTATUS Key::SetText(const wchar_t* name, PCUNICODE_STRING text) {
  Name copy;  // terminated
  copy.Append(text);
  NTSTATUS status = copy.Status();
  return NT_SUCCESS(status) ? Set(name, REG_SZ, copy.Get()->Buffer, copy.length() + sizeof(WCHAR)) : status;
}

NTSTATUS Value::Read(HANDLE key, const wchar_t* name) {
  UNICODE_STRING value = ob::String(name);
  ULONG size = 0;
  NTSTATUS status = ZwQueryValueKey(key, &value, KeyValuePartialInformation, nullptr, 0, &size);
  if (status != STATUS_BUFFER_TOO_SMALL && status != STATUS_BUFFER_OVERFLOW) return status;
  const ULONG room = size + 2 * sizeof(WCHAR);  // texts end here at the latest
  auto* information =
      static_cast<PKEY_VALUE_PARTIAL_INFORMATION>(ExAllocatePoolWithTag(NonPagedPoolNx, room, kNameTag));
  if (information == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlZeroMemory(information, room);
  status = ZwQueryValueKey(key, &value, KeyValuePartialInformation, information, size, &size);
  if (NT_SUCCESS(status)) {
    information_ = information;
  } else {
    ExFreePoolWithTag(information, kNameTag);
  }
  return status;
}

NTSTATUS OpenInstanceKey(PDEVICE_NODE node, ACCESS_MASK access, bool create, HANDLE* handle) {
  Name path;
  path.Append(kEnum).Append(&node->InstancePath);
  NTSTATUS status = path.Status();
  if (!NT_SUCCESS(status)) return status;
  Key key;
  status = create ? key.Create(nullptr, path.Get(), access, node->Persistent != FALSE)
                  : key.Open(nullptr, path.Get(), access);
  *handle = key.Take();
  return status;
}

NTSTATUS ConfigureNode(PDEVICE_NODE node, PCWSTR hardware_ids, PCWSTR compatible_ids) {
  Key key;
  NTSTATUS status = OpenInstanceKey(node, KEY_ALL_ACCESS, true, key.put());
  if (!NT_SUCCESS(status)) return status;
  Value known;
  if (!NT_SUCCESS(known.Read(key.get(), L"Service"))) {
    if (!ConfigureFrom(hardware_ids, key)) ConfigureFrom(compatible_ids, key);
  }
  Value service;
  service.Read(key.get(), L"Service");
  if (service.Text() == nullptr || *service.Text() == 0) return STATUS_SUCCESS;
  Name name;
  name.Append(service.Text());
  if (!NT_SUCCESS(name.Status())) return name.Status();
  if (node->ServiceName.Buffer != nullptr) ExFreePoolWithTag(node->ServiceName.Buffer, kNameTag);
  node->ServiceName = name.Take();
  return STATUS_SUCCESS;
}

NTSTATUS MapHardwareId(PCUNICODE_STRING hardware_id, PCUNICODE_STRING service, bool persistent) {
  Name path;
  DatabaseKey(hardware_id, &path);
  if (!NT_SUCCESS(path.Status())) return path.Status();
  Key key;
  NTSTATUS status = key.Create(nullptr, path.Get(), KEY_ALL_ACCESS, persistent);
  return NT_SUCCESS(status) ? key.SetText(L"Service", service) : status;
}

NTSTATUS MapParameter(PCUNICODE_STRING hardware_id, PCUNICODE_STRING name, ULONG number) {
  Name path, value;
  DatabaseKey(hardware_id, &path);
  path.Append(L"\\").Append(kParameters);
  value.Append(name);
  if (!NT_SUCCESS(path.Status())) return path.Status();
  if (!NT_SUCCESS(value.Status())) return value.Status();
  Key key;
  const NTSTATUS status = key.Create(nullptr, path.Get(), KEY_ALL_ACCESS, true);
  return NT_SUCCESS(status) ? key.SetNumber(value.Get()->Buffer, number) : status;
}

bool HasId(HANDLE instance, PCUNICODE_STRING id) {
  return ListHas(instance, L"HardwareID", id) || ListHas(instance, L"CompatibleIDs", id);
}

}  // namespace pnp
