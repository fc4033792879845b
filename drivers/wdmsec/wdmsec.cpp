// wdmsec.lib: what drivers that include <wdmsec.h> link. Needs nothing of the kernel but what every Windows
// exports.
#include "sddl.h"

#include <wdmsec.h>

#undef IoValidateDeviceIoControlAccess

extern "C" {
extern __declspec(dllimport) POBJECT_TYPE* IoDeviceObjectType;
NTKERNELAPI NTSTATUS NTAPI IoValidateDeviceIoControlAccess(PIRP Irp, ULONG RequiredAccess);
NTSYSAPI BOOLEAN NTAPI RtlValidRelativeSecurityDescriptor(PSECURITY_DESCRIPTOR SecurityDescriptorInput,
                                                          ULONG SecurityDescriptorLength,
                                                          SECURITY_INFORMATION RequiredInformation);
#define WDMSEC_STRING(name, text) \
  extern const UNICODE_STRING name = {sizeof(text) - sizeof(WCHAR), sizeof(text), const_cast<PWCH>(text)}
WDMSEC_STRING(SDDL_DEVOBJ_KERNEL_ONLY, L"D:P");
WDMSEC_STRING(SDDL_DEVOBJ_SYS_ALL, L"D:P(A;;GA;;;SY)");
WDMSEC_STRING(SDDL_DEVOBJ_SYS_ALL_ADM_ALL, L"D:P(A;;GA;;;SY)(A;;GA;;;BA)");
WDMSEC_STRING(SDDL_DEVOBJ_SYS_ALL_ADM_RX, L"D:P(A;;GA;;;SY)(A;;GRGX;;;BA)");
WDMSEC_STRING(SDDL_DEVOBJ_SYS_ALL_ADM_RWX_WORLD_R, L"D:P(A;;GA;;;SY)(A;;GRGWGX;;;BA)(A;;GR;;;WD)");
WDMSEC_STRING(SDDL_DEVOBJ_SYS_ALL_ADM_RWX_WORLD_R_RES_R,
              L"D:P(A;;GA;;;SY)(A;;GRGWGX;;;BA)(A;;GR;;;WD)(A;;GR;;;RC)");
WDMSEC_STRING(SDDL_DEVOBJ_SYS_ALL_ADM_RWX_WORLD_RW_RES_R,
              L"D:P(A;;GA;;;SY)(A;;GRGWGX;;;BA)(A;;GRGW;;;WD)(A;;GR;;;RC)");
WDMSEC_STRING(SDDL_DEVOBJ_SYS_ALL_ADM_RWX_WORLD_RWX_RES_RWX,
              L"D:P(A;;GA;;;SY)(A;;GRGWGX;;;BA)(A;;GRGWGX;;;WD)(A;;GRGWGX;;;RC)");
}

namespace {

constexpr ULONG kTag = 'cesW';
constexpr ULONG kMostDescriptorBytes = 0x10000;

// What a device is created with.
struct Settings {
  DEVICE_TYPE type;
  ULONG characteristics;
  BOOLEAN exclusive;
  PSECURITY_DESCRIPTOR descriptor;  // in pool; 0: the SDDL string's
};

// A value of a key, in pool; 0: there is none of this type.
PKEY_VALUE_PARTIAL_INFORMATION QueryValue(HANDLE key, PCWSTR text, ULONG type) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, text);
  ULONG length = 0;
  NTSTATUS status = ZwQueryValueKey(key, &name, KeyValuePartialInformation, nullptr, 0, &length);
  if (status != STATUS_BUFFER_TOO_SMALL && status != STATUS_BUFFER_OVERFLOW) return nullptr;
  if (length > kMostDescriptorBytes) return nullptr;
  auto* value = static_cast<PKEY_VALUE_PARTIAL_INFORMATION>(ExAllocatePoolWithTag(PagedPool, length, kTag));
  if (value == nullptr) return nullptr;
  status = ZwQueryValueKey(key, &name, KeyValuePartialInformation, value, length, &length);
  if (NT_SUCCESS(status) && value->Type == type) return value;
  ExFreePoolWithTag(value, kTag);
  return nullptr;
}

bool QueryNumber(HANDLE key, PCWSTR text, ULONG* number) {
  PKEY_VALUE_PARTIAL_INFORMATION value = QueryValue(key, text, REG_DWORD);
  if (value == nullptr) return false;
  const bool good = value->DataLength == sizeof(*number);
  if (good) RtlCopyMemory(number, value->Data, sizeof(*number));
  ExFreePoolWithTag(value, kTag);
  return good;
}

PSECURITY_DESCRIPTOR QueryDescriptor(HANDLE key) {
  PKEY_VALUE_PARTIAL_INFORMATION value = QueryValue(key, L"Security", REG_BINARY);
  if (value == nullptr) return nullptr;
  PVOID copy = nullptr;
  if (RtlValidRelativeSecurityDescriptor(value->Data, value->DataLength, 0)) {
    copy = ExAllocatePoolWithTag(PagedPool, value->DataLength, kTag);
    if (copy != nullptr) RtlCopyMemory(copy, value->Data, value->DataLength);
  }
  ExFreePoolWithTag(value, kTag);
  return copy;
}

// What the administrator wants instead for the class.
void ApplyOverrides(LPCGUID class_guid, Settings* settings) {
  UNICODE_STRING guid;
  if (!NT_SUCCESS(RtlStringFromGUID(*class_guid, &guid))) return;
  WCHAR buffer[128];
  UNICODE_STRING path = {0, sizeof(buffer), buffer};
  (void)RtlAppendUnicodeToString(&path, L"\\Registry\\Machine\\System\\CurrentControlSet\\Control\\Class\\");
  (void)RtlAppendUnicodeStringToString(&path, &guid);
  NTSTATUS status = RtlAppendUnicodeToString(&path, L"\\Properties");
  RtlFreeUnicodeString(&guid);
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &path, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, nullptr, nullptr);
  HANDLE key;
  if (NT_SUCCESS(status)) status = ZwOpenKey(&key, KEY_QUERY_VALUE, &attributes);
  if (!NT_SUCCESS(status)) return;
  ULONG number;
  if (QueryNumber(key, L"DeviceType", &number)) settings->type = number;
  if (QueryNumber(key, L"DeviceCharacteristics", &number)) settings->characteristics = number;
  if (QueryNumber(key, L"Exclusive", &number)) settings->exclusive = number != 0;
  settings->descriptor = QueryDescriptor(key);
  ZwClose(key);
}

SECURITY_INFORMATION PartsOf(PSECURITY_DESCRIPTOR descriptor) {
  PSID sid = nullptr;
  PACL acl;
  BOOLEAN present = FALSE, defaulted;
  SECURITY_INFORMATION parts = 0;
  if (NT_SUCCESS(RtlGetOwnerSecurityDescriptor(descriptor, &sid, &defaulted)) && sid != nullptr)
    parts |= OWNER_SECURITY_INFORMATION;
  if (NT_SUCCESS(RtlGetGroupSecurityDescriptor(descriptor, &sid, &defaulted)) && sid != nullptr)
    parts |= GROUP_SECURITY_INFORMATION;
  if (NT_SUCCESS(RtlGetDaclSecurityDescriptor(descriptor, &present, &acl, &defaulted)) && present)
    parts |= DACL_SECURITY_INFORMATION;
  if (NT_SUCCESS(RtlGetSaclSecurityDescriptor(descriptor, &present, &acl, &defaulted)) && present)
    parts |= SACL_SECURITY_INFORMATION;
  return parts;
}

NTSTATUS Secure(PDEVICE_OBJECT device, PSECURITY_DESCRIPTOR descriptor) {
  HANDLE handle;
  NTSTATUS status = ObOpenObjectByPointer(device, OBJ_KERNEL_HANDLE, nullptr,
                                          WRITE_DAC | WRITE_OWNER | ACCESS_SYSTEM_SECURITY,
                                          *IoDeviceObjectType, KernelMode, &handle);
  if (!NT_SUCCESS(status)) return status;
  status = ZwSetSecurityObject(handle, PartsOf(descriptor), descriptor);
  ZwClose(handle);
  return status;
}

NTSTATUS CreateDevice(PDRIVER_OBJECT driver, ULONG extension, PUNICODE_STRING name, const Settings& settings,
                      PACL acl, PDEVICE_OBJECT* result) {
  SECURITY_DESCRIPTOR descriptor;
  NTSTATUS status = RtlCreateSecurityDescriptor(&descriptor, SECURITY_DESCRIPTOR_REVISION);
  if (NT_SUCCESS(status)) status = RtlSetDaclSecurityDescriptor(&descriptor, TRUE, acl, FALSE);
  if (!NT_SUCCESS(status)) return status;
  descriptor.Control |= SE_DACL_PROTECTED;
  PDEVICE_OBJECT device;
  status = IoCreateDevice(driver, extension, name, settings.type, settings.characteristics,
                          settings.exclusive, &device);
  if (!NT_SUCCESS(status)) return status;
  status = Secure(device, settings.descriptor != nullptr ? settings.descriptor : &descriptor);
  if (NT_SUCCESS(status)) {
    *result = device;
  } else {
    IoDeleteDevice(device);
  }
  return status;
}

}  // namespace

NTSTATUS WdmlibIoCreateDeviceSecure(PDRIVER_OBJECT DriverObject, ULONG DeviceExtensionSize,
                                    PUNICODE_STRING DeviceName, DEVICE_TYPE DeviceType,
                                    ULONG DeviceCharacteristics, BOOLEAN Exclusive,
                                    PCUNICODE_STRING DefaultSDDLString, LPCGUID DeviceClassGuid,
                                    PDEVICE_OBJECT* DeviceObject) {
  *DeviceObject = nullptr;
  // A device that nobody can name cannot be opened: its descriptor would protect nothing.
  const bool named = DeviceName != nullptr && DeviceName->Length != 0;
  if (!named && (DeviceCharacteristics & FILE_AUTOGENERATED_DEVICE_NAME) == 0)
    return STATUS_INVALID_PARAMETER;
  PACL acl;
  NTSTATUS status = wdmsec::ParseSddl(DefaultSDDLString, &acl);
  if (!NT_SUCCESS(status)) return status;
  Settings settings = {DeviceType, DeviceCharacteristics, Exclusive, nullptr};
  if (DeviceClassGuid != nullptr) ApplyOverrides(DeviceClassGuid, &settings);
  status = CreateDevice(DriverObject, DeviceExtensionSize, DeviceName, settings, acl, DeviceObject);
  if (settings.descriptor != nullptr) ExFreePoolWithTag(settings.descriptor, kTag);
  ExFreePool(acl);
  return status;
}

NTSTATUS WdmlibRtlInitUnicodeStringEx(PUNICODE_STRING DestinationString, PCWSTR SourceString) {
  constexpr ULONG kMostCharacters = 0xFFFC / sizeof(WCHAR);
  *DestinationString = {};
  if (SourceString == nullptr) return STATUS_SUCCESS;
  ULONG length = 0;
  while (SourceString[length] != 0) {
    if (++length > kMostCharacters) return STATUS_NAME_TOO_LONG;
  }
  *DestinationString = {static_cast<USHORT>(length * sizeof(WCHAR)),
                        static_cast<USHORT>((length + 1) * sizeof(WCHAR)), const_cast<PWCH>(SourceString)};
  return STATUS_SUCCESS;
}

NTSTATUS WdmlibIoValidateDeviceIoControlAccess(PIRP Irp, ULONG RequiredAccess) {
  return IoValidateDeviceIoControlAccess(Irp, RequiredAccess);
}
