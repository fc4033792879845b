// What is known of a device: properties, and the keys of its own.
#include "nt/export.h"
#include "pnp_internal.h"

namespace pnp {
namespace {

NTSTATUS Give(const void* data, ULONG size, ULONG length, PVOID buffer, PULONG needed) {
  *needed = size;
  if (size > length) return STATUS_BUFFER_TOO_SMALL;
  RtlCopyMemory(buffer, data, size);
  return STATUS_SUCCESS;
}

struct Stored {
  DEVICE_REGISTRY_PROPERTY property;
  const wchar_t* value;
  ULONG type;
};
constexpr Stored kStored[] = {
    {DevicePropertyDeviceDescription, L"DeviceDesc", REG_SZ},
    {DevicePropertyHardwareID, L"HardwareID", REG_MULTI_SZ},
    {DevicePropertyCompatibleIDs, L"CompatibleIDs", REG_MULTI_SZ},
    {DevicePropertyClassName, L"Class", REG_SZ},
    {DevicePropertyClassGuid, L"ClassGUID", REG_SZ},
    {DevicePropertyDriverKeyName, L"Driver", REG_SZ},
    {DevicePropertyManufacturer, L"Mfg", REG_SZ},
    {DevicePropertyFriendlyName, L"FriendlyName", REG_SZ},
    {DevicePropertyLocationInformation, L"LocationInformation", REG_SZ},
    {DevicePropertyContainerID, L"ContainerID", REG_SZ},
};

NTSTATUS GiveStored(PDEVICE_NODE node, const Stored& stored, ULONG length, PVOID buffer, PULONG needed) {
  Key key;
  NTSTATUS status = OpenInstanceKey(node, KEY_READ, false, key.put());
  Value value;
  if (NT_SUCCESS(status)) status = value.Read(key.get(), stored.value);
  if (!NT_SUCCESS(status)) return STATUS_OBJECT_NAME_NOT_FOUND;
  if (value.type() != stored.type) return STATUS_INVALID_DEVICE_REQUEST;
  return Give(value.data(), value.size(), length, buffer, needed);
}

template <typename T>
NTSTATUS GiveValue(const T& value, ULONG length, PVOID buffer, PULONG needed) {
  return Give(&value, sizeof(value), length, buffer, needed);
}

NTSTATUS GiveList(const CM_RESOURCE_LIST* list, ULONG length, PVOID buffer, PULONG needed) {
  if (list != nullptr) return Give(list, ResourceListSize(list), length, buffer, needed);
  *needed = 0;
  return STATUS_SUCCESS;
}

// The part of the instance path before its first backslash.
NTSTATUS GiveEnumerator(PDEVICE_NODE node, ULONG length, PVOID buffer, PULONG needed) {
  Name name;
  USHORT end = 0;
  while (end < node->InstancePath.Length / sizeof(WCHAR) && node->InstancePath.Buffer[end] != L'\\') ++end;
  name.Append(node->InstancePath.Buffer, end * sizeof(WCHAR));
  if (!NT_SUCCESS(name.Status())) return name.Status();
  return Give(name.Get()->Buffer, name.length() + sizeof(WCHAR), length, buffer, needed);
}

NTSTATUS GiveObjectName(PDEVICE_NODE node, ULONG length, PVOID buffer, PULONG needed) {
  UCHAR room[sizeof(OBJECT_NAME_INFORMATION) + 128 * sizeof(WCHAR)] = {};
  auto* information = reinterpret_cast<POBJECT_NAME_INFORMATION>(room);
  ULONG size;
  const NTSTATUS status =
      ObQueryNameString(node->PhysicalDeviceObject, information, sizeof(room) - sizeof(WCHAR), &size);
  if (!NT_SUCCESS(status)) return status;
  const WCHAR nothing = 0;
  if (information->Name.Length == 0) return Give(&nothing, sizeof(nothing), length, buffer, needed);
  return Give(information->Name.Buffer, information->Name.Length + sizeof(WCHAR), length, buffer, needed);
}

NTSTATUS GiveAddress(ULONG number, ULONG length, PVOID buffer, PULONG needed) {
  if (number == static_cast<ULONG>(-1)) return STATUS_OBJECT_NAME_NOT_FOUND;
  return GiveValue(number, length, buffer, needed);
}

// 1 expects no removal, 2 orderly removal, 3 surprise removal.
ULONG RemovalPolicy(const DEVICE_CAPABILITIES& capabilities) {
  if (capabilities.SurpriseRemovalOK) return 3;
  return capabilities.Removable || capabilities.EjectSupported ? 2 : 1;
}

NTSTATUS GiveOwn(PDEVICE_NODE node, DEVICE_REGISTRY_PROPERTY property, ULONG length, PVOID buffer,
                 PULONG needed) {
  switch (property) {
    case DevicePropertyBootConfiguration:
    case DevicePropertyBootConfigurationTranslated:
      return GiveList(node->BootResources, length, buffer, needed);
    case DevicePropertyAllocatedResources:
      return GiveList(node->ResourceList, length, buffer, needed);
    case DevicePropertyResourceRequirements:
      *needed = 0;
      if (node->ResourceRequirements == nullptr) return STATUS_SUCCESS;
      return Give(node->ResourceRequirements, node->ResourceRequirements->ListSize, length, buffer, needed);
    case DevicePropertyPhysicalDeviceObjectName:
      return GiveObjectName(node, length, buffer, needed);
    case DevicePropertyEnumeratorName:
      return GiveEnumerator(node, length, buffer, needed);
    case DevicePropertyBusTypeGuid:
      if (node->InterfaceType == InterfaceTypeUndefined) return STATUS_OBJECT_NAME_NOT_FOUND;
      return GiveValue(node->BusTypeGuid, length, buffer, needed);
    case DevicePropertyLegacyBusType:
      if (node->InterfaceType == InterfaceTypeUndefined) return STATUS_OBJECT_NAME_NOT_FOUND;
      return GiveValue(node->InterfaceType, length, buffer, needed);
    case DevicePropertyBusNumber:
      return GiveAddress(node->BusNumber, length, buffer, needed);
    case DevicePropertyAddress:
      return GiveAddress(node->Capabilities.Address, length, buffer, needed);
    case DevicePropertyUINumber:
      return GiveAddress(node->Capabilities.UINumber, length, buffer, needed);
    case DevicePropertyInstallState:
      return GiveValue(ULONG{node->Problem == kProblemNoDriver ? 2u : 0u}, length, buffer, needed);
    case DevicePropertyRemovalPolicy:
      return GiveValue(RemovalPolicy(node->Capabilities), length, buffer, needed);
    default:
      return STATUS_INVALID_PARAMETER_2;
  }
}

// The driver's key of a device: Control\Class\<Driver value>, which is chosen at the first use.
NTSTATUS OpenSoftwareKey(PDEVICE_NODE node, ACCESS_MASK access, HANDLE* handle) {
  Key instance, key;
  NTSTATUS status = OpenInstanceKey(node, KEY_ALL_ACCESS, false, instance.put());
  if (!NT_SUCCESS(status)) return status;
  constexpr wchar_t kClass[] = L"\\Registry\\Machine\\System\\CurrentControlSet\\Control\\Class\\";
  Value known, guid;
  Name path;
  if (NT_SUCCESS(known.Read(instance.get(), L"Driver")) && known.Text() != nullptr) {
    path.Append(kClass).Append(known.Text());
  } else {
    guid.Read(instance.get(), L"ClassGUID");
    path.Append(kClass);
    const USHORT prefix = path.length();
    path.Append(guid.Text() != nullptr ? guid.Text() : L"{00000000-0000-0000-0000-000000000000}")
        .Append(L"\\");
    const USHORT base = path.length();
    for (ULONG number = 0; NT_SUCCESS(path.Status()); ++number) {
      path.Truncate(base);
      path.AppendNumber(number, 10, 4);
      if (!NT_SUCCESS(key.Open(nullptr, path.Get(), KEY_READ))) break;
    }
    if (NT_SUCCESS(path.Status()))
      status = instance.SetText(L"Driver", path.Get()->Buffer + prefix / sizeof(WCHAR));
  }
  if (NT_SUCCESS(status)) status = path.Status();
  if (NT_SUCCESS(status)) status = key.Create(nullptr, path.Get(), access, node->Persistent != FALSE);
  *handle = NT_SUCCESS(status) ? key.Take() : nullptr;
  return status;
}

// Properties\{format}\number of a device.
NTSTATUS OpenPropertyKey(PDEVICE_NODE node, const DEVPROPKEY& property, bool create, Key* key) {
  Key instance;
  NTSTATUS status = OpenInstanceKey(node, KEY_ALL_ACCESS, false, instance.put());
  Name path;
  path.Append(L"Properties\\").AppendGuid(property.fmtid).Append(L"\\").AppendNumber(property.pid, 16, 4);
  if (NT_SUCCESS(status)) status = path.Status();
  if (!NT_SUCCESS(status)) return status;
  return create ? key->Create(instance.get(), path.Get(), KEY_ALL_ACCESS, node->Persistent != FALSE)
                : key->Open(instance.get(), path.Get(), KEY_ALL_ACCESS);
}

}  // namespace
}  // namespace pnp

/// A property of a device: from its key (what its bus said, what an installation wrote), or of its state.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoGetDeviceProperty.
NT_EXPORT(IoGetDeviceProperty, nt::AtMost(PASSIVE_LEVEL), Full, "PnpProperty.*");
extern "C" NTSTATUS NTAPI IoGetDeviceProperty(PDEVICE_OBJECT DeviceObject,
                                              DEVICE_REGISTRY_PROPERTY DeviceProperty, ULONG BufferLength,
                                              PVOID PropertyBuffer, PULONG ResultLength) {
  *ResultLength = 0;
  PDEVICE_NODE node = pnp::NodeOfPdo(DeviceObject);
  for (const pnp::Stored& stored : pnp::kStored) {
    if (stored.property == DeviceProperty)
      return pnp::GiveStored(node, stored, BufferLength, PropertyBuffer, ResultLength);
  }
  return pnp::GiveOwn(node, DeviceProperty, BufferLength, PropertyBuffer, ResultLength);
}

/// Opens the key of a device (hardware: Device Parameters in its Enum key) or of its driver for this device
/// (software: in the class's key).
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: there is one hardware profile, so the key relative to it is the same key.
/// Source: WDK wdm/IoOpenDeviceRegistryKey.
NT_EXPORT(IoOpenDeviceRegistryKey, nt::AtMost(PASSIVE_LEVEL), Full, "PnpProperty.*");
extern "C" NTSTATUS NTAPI IoOpenDeviceRegistryKey(PDEVICE_OBJECT DeviceObject, ULONG DevInstKeyType,
                                                  ACCESS_MASK DesiredAccess, PHANDLE DevInstRegKey) {
  *DevInstRegKey = nullptr;
  PDEVICE_NODE node = pnp::NodeOf(DeviceObject);
  if (node == nullptr || node->InstancePath.Length == 0) return STATUS_INVALID_DEVICE_REQUEST;
  switch (DevInstKeyType & ~static_cast<ULONG>(PLUGPLAY_REGKEY_CURRENT_HWPROFILE)) {
    case PLUGPLAY_REGKEY_DRIVER:
      return pnp::OpenSoftwareKey(node, DesiredAccess, DevInstRegKey);
    case PLUGPLAY_REGKEY_DEVICE: {
      pnp::Key instance, parameters;
      NTSTATUS status = pnp::OpenInstanceKey(node, KEY_ALL_ACCESS, true, instance.put());
      UNICODE_STRING name = ob::String(L"Device Parameters");
      if (NT_SUCCESS(status))
        status = parameters.Create(instance.get(), &name, DesiredAccess, node->Persistent != FALSE);
      if (NT_SUCCESS(status)) *DevInstRegKey = parameters.Take();
      return status;
    }
    default:
      return STATUS_INVALID_PARAMETER;
  }
}

/// Stores a property of a device under a key of format and number; no data deletes it.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: the language is ignored; the properties that Windows itself keeps (DEVPKEY_Device_*) can
/// be written as any other.
/// Source: WDK wdm/IoSetDevicePropertyData.
NT_EXPORT(IoSetDevicePropertyData, nt::AtMost(APC_LEVEL), Partial, "PnpProperty.Data*");
extern "C" NTSTATUS NTAPI IoSetDevicePropertyData(PDEVICE_OBJECT Pdo, CONST DEVPROPKEY* PropertyKey, LCID,
                                                  ULONG, DEVPROPTYPE Type, ULONG Size, PVOID Data) {
  PDEVICE_NODE node = pnp::NodeOfPdo(Pdo);
  pnp::Key key;
  NTSTATUS status = pnp::OpenPropertyKey(node, *PropertyKey, Data != nullptr, &key);
  if (!NT_SUCCESS(status)) return status;
  if (Data == nullptr) return ZwDeleteKey(key.get());
  status = key.SetNumber(L"Type", Type);
  return NT_SUCCESS(status) ? key.Set(L"Data", REG_BINARY, Data, Size) : status;
}

/// Reads what IoSetDevicePropertyData stored.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: the language is ignored; the properties that Windows itself keeps (DEVPKEY_Device_*) are
/// not found unless somebody wrote them.
/// Source: WDK wdm/IoGetDevicePropertyData.
NT_EXPORT(IoGetDevicePropertyData, nt::AtMost(APC_LEVEL), Partial, "PnpProperty.Data*");
extern "C" NTSTATUS NTAPI IoGetDevicePropertyData(PDEVICE_OBJECT Pdo, CONST DEVPROPKEY* PropertyKey, LCID,
                                                  ULONG, ULONG Size, PVOID Data, PULONG RequiredSize,
                                                  PDEVPROPTYPE Type) {
  PDEVICE_NODE node = pnp::NodeOfPdo(Pdo);
  *RequiredSize = 0;
  pnp::Key key;
  pnp::Value type, data;
  if (!NT_SUCCESS(pnp::OpenPropertyKey(node, *PropertyKey, false, &key)) ||
      !NT_SUCCESS(type.Read(key.get(), L"Type")) || !NT_SUCCESS(data.Read(key.get(), L"Data")))
    return STATUS_OBJECT_NAME_NOT_FOUND;
  RtlCopyMemory(Type, type.data(), sizeof(*Type));
  return pnp::Give(data.data(), data.size(), Size, Data, RequiredSize);
}
