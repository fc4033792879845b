// Service keys, paths, the worker that loads and unloads.
#include "driver_internal.h"

#include "path_forms.h"
#include <stdarg.h>

extern "C" int _vsnprintf(char* buffer, size_t count, const char* format, va_list arguments);

namespace {

struct WorkerCall {
  WORK_QUEUE_ITEM item;
  NTSTATUS (*routine)(PVOID);
  PVOID context;
  NTSTATUS status;
  KEVENT done;
};

}  // namespace

static VOID NTAPI IopLoadUnloadDriver(PVOID Parameter) {
  auto* call = static_cast<WorkerCall*>(Parameter);
  call->status = call->routine(call->context);
  KeSetEvent(&call->done, 0, FALSE);
}

namespace io {

namespace {

constexpr wchar_t kServices[] = L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\";

NTSTATUS AllocateString(ULONG bytes, PUNICODE_STRING string) {
  *string = {};
  if (bytes > 0xFFFC) return STATUS_NAME_TOO_LONG;
  string->Buffer = static_cast<PWCH>(ExAllocatePoolWithTag(NonPagedPoolNx, bytes + sizeof(WCHAR), kNameTag));
  if (string->Buffer == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  string->MaximumLength = static_cast<USHORT>(bytes + sizeof(WCHAR));
  return STATUS_SUCCESS;
}

void Terminate(PUNICODE_STRING string) {
  string->Buffer[string->Length / sizeof(WCHAR)] = 0;
}

// A value of an open key in pool; the caller frees it (tag kNameTag).
NTSTATUS QueryValue(HANDLE key, const wchar_t* name, PKEY_VALUE_PARTIAL_INFORMATION* value) {
  UNICODE_STRING value_name = ob::String(name);
  constexpr ULONG kSize = 1024;
  *value =
      static_cast<PKEY_VALUE_PARTIAL_INFORMATION>(ExAllocatePoolWithTag(NonPagedPoolNx, kSize, kNameTag));
  if (*value == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  ULONG length;
  NTSTATUS status = ZwQueryValueKey(key, &value_name, KeyValuePartialInformation, *value, kSize, &length);
  if (!NT_SUCCESS(status)) {
    ExFreePoolWithTag(*value, kNameTag);
    *value = nullptr;
  }
  return status;
}

ULONG QueryNumber(HANDLE key, const wchar_t* name, ULONG otherwise) {
  UNICODE_STRING value_name = ob::String(name);
  struct {
    KEY_VALUE_PARTIAL_INFORMATION head;
    ULONG room;
  } value;
  ULONG length;
  if (!NT_SUCCESS(
          ZwQueryValueKey(key, &value_name, KeyValuePartialInformation, &value, sizeof(value), &length)) ||
      value.head.Type != REG_DWORD || value.head.DataLength != sizeof(ULONG))
    return otherwise;
  ULONG number;
  RtlCopyMemory(&number, value.head.Data, sizeof(number));
  return number;
}

NTSTATUS ReadImagePath(HANDLE key, const UNICODE_STRING& name, PUNICODE_STRING path) {
  PKEY_VALUE_PARTIAL_INFORMATION value;
  const NTSTATUS found = QueryValue(key, L"ImagePath", &value);
  if (found == STATUS_INSUFFICIENT_RESOURCES) return found;  // it may well be there
  if (NT_SUCCESS(found)) {
    UNICODE_STRING text = {static_cast<USHORT>(value->DataLength), static_cast<USHORT>(value->DataLength),
                           reinterpret_cast<PWCH>(value->Data)};
    while (text.Length != 0 && text.Buffer[text.Length / sizeof(WCHAR) - 1] == 0)
      text.Length -= sizeof(WCHAR);
    NTSTATUS status = text.Length != 0 ? NtPathOf(&text, path) : STATUS_ILL_FORMED_SERVICE_ENTRY;
    ExFreePoolWithTag(value, kNameTag);
    return status;
  }
  const wchar_t folder[] = L"\\SystemRoot\\System32\\drivers\\";
  NTSTATUS status = AllocateString(sizeof(folder) + name.Length + 8, path);
  if (!NT_SUCCESS(status)) return status;
  RtlAppendUnicodeToString(path, folder);
  RtlAppendUnicodeStringToString(path, const_cast<PUNICODE_STRING>(&name));
  RtlAppendUnicodeToString(path, L".sys");
  Terminate(path);
  return STATUS_SUCCESS;
}

}  // namespace

NTSTATUS RunOnWorker(NTSTATUS (*routine)(PVOID), PVOID context) {
  WorkerCall call;
  call.routine = routine;
  call.context = context;
  call.status = STATUS_UNSUCCESSFUL;
  KeInitializeEvent(&call.done, NotificationEvent, FALSE);
  ExInitializeWorkItem(&call.item, IopLoadUnloadDriver, &call);
  ExQueueWorkItem(&call.item, DelayedWorkQueue);
  KeWaitForSingleObject(&call.done, UserRequest, KernelMode, FALSE, nullptr);
  return call.status;
}

void AppendText(char* text, ULONG capacity, ULONG* length, const char* format, ...) {
  if (*length + 1 >= capacity) return;
  va_list arguments;
  va_start(arguments, format);
  const ULONG room = capacity - *length - 1;
  const int written = _vsnprintf(text + *length, room, format, arguments);
  va_end(arguments);
  *length += written < 0 || static_cast<ULONG>(written) > room ? room : static_cast<ULONG>(written);
  text[*length] = 0;
}

NTSTATUS WideFromUtf8(const char* text, size_t length, PUNICODE_STRING wide) {
  ULONG bytes = 0;
  NTSTATUS status = RtlUTF8ToUnicodeN(nullptr, 0, &bytes, text, static_cast<ULONG>(length));
  if (!NT_SUCCESS(status)) return status;
  status = AllocateString(bytes, wide);
  if (!NT_SUCCESS(status)) return status;
  if (bytes != 0) status = RtlUTF8ToUnicodeN(wide->Buffer, bytes, &bytes, text, static_cast<ULONG>(length));
  wide->Length = static_cast<USHORT>(bytes);
  Terminate(wide);
  return NT_SUCCESS(status) ? STATUS_SUCCESS : status;
}

NTSTATUS ServiceKeyOf(PCUNICODE_STRING name, PUNICODE_STRING key) {
  NTSTATUS status = AllocateString(sizeof(kServices) + name->Length, key);
  if (!NT_SUCCESS(status)) return status;
  RtlAppendUnicodeToString(key, kServices);
  RtlAppendUnicodeStringToString(key, const_cast<PUNICODE_STRING>(name));
  Terminate(key);
  return STATUS_SUCCESS;
}

NTSTATUS NtPathOf(PCUNICODE_STRING path, PUNICODE_STRING nt_path) {
  const PathForm form =
      PathFormOf(reinterpret_cast<const char16_t*>(path->Buffer), path->Length / sizeof(WCHAR));
  NTSTATUS status = AllocateString(32 + path->Length, nt_path);
  if (!NT_SUCCESS(status)) return status;
  RtlAppendUnicodeToString(nt_path, reinterpret_cast<PCWSTR>(form.prefix));
  const auto rest = static_cast<USHORT>(path->Length - form.drop * sizeof(WCHAR));
  UNICODE_STRING tail = {rest, rest, path->Buffer + form.drop};
  RtlAppendUnicodeStringToString(nt_path, &tail);
  Terminate(nt_path);
  return STATUS_SUCCESS;
}

NTSTATUS ReadServiceKey(PCUNICODE_STRING key_name, ServiceDescription* service) {
  *service = {};
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, const_cast<PUNICODE_STRING>(key_name),
                             OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
  HANDLE key;
  NTSTATUS status = ZwOpenKey(&key, KEY_READ, &attributes);
  if (!NT_SUCCESS(status)) return status;
  status = AllocateString(key_name->Length, &service->key);
  if (NT_SUCCESS(status)) {
    RtlAppendUnicodeStringToString(&service->key, const_cast<PUNICODE_STRING>(key_name));
    Terminate(&service->key);
    USHORT start = static_cast<USHORT>(service->key.Length / sizeof(WCHAR));
    while (start != 0 && service->key.Buffer[start - 1] != L'\\') --start;
    const auto length = static_cast<USHORT>(service->key.Length - start * sizeof(WCHAR));
    service->name = {length, length, service->key.Buffer + start};
    service->type = QueryNumber(key, L"Type", 1);
    status = service->type == 1 || service->type == 2
                 ? ReadImagePath(key, service->name, &service->image_path)
                 : STATUS_ILL_FORMED_SERVICE_ENTRY;
  }
  ZwClose(key);
  if (!NT_SUCCESS(status)) FreeServiceDescription(service);
  return status;
}

void FreeServiceDescription(ServiceDescription* service) {
  if (service->key.Buffer != nullptr) ExFreePoolWithTag(service->key.Buffer, kNameTag);
  if (service->image_path.Buffer != nullptr) ExFreePoolWithTag(service->image_path.Buffer, kNameTag);
  *service = {};
}

NTSTATUS ReferenceDriver(PCUNICODE_STRING name, PDRIVER_OBJECT* driver) {
  const wchar_t* const folders[] = {L"\\Driver\\", L"\\FileSystem\\"};
  NTSTATUS status = STATUS_OBJECT_NAME_NOT_FOUND;
  for (const wchar_t* folder : folders) {
    UNICODE_STRING path;
    status = AllocateString(32 + name->Length, &path);
    if (!NT_SUCCESS(status)) return status;
    RtlAppendUnicodeToString(&path, folder);
    RtlAppendUnicodeStringToString(&path, const_cast<PUNICODE_STRING>(name));
    PVOID object;
    status = ObReferenceObjectByName(&path, OBJ_CASE_INSENSITIVE, nullptr, 0, IoDriverObjectType, KernelMode,
                                     nullptr, &object);
    ExFreePoolWithTag(path.Buffer, kNameTag);
    if (NT_SUCCESS(status)) {
      *driver = static_cast<PDRIVER_OBJECT>(object);
      return STATUS_SUCCESS;
    }
  }
  return status;
}

PDRIVER_OBJECT ReferenceDriverOfServiceOrNull(PCUNICODE_STRING service_name) {
  PDRIVER_OBJECT driver;
  return NT_SUCCESS(ReferenceDriver(service_name, &driver)) ? driver : nullptr;
}

}  // namespace io
