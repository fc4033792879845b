// Device interfaces: names by class, as symbolic links to PDOs, mirrored in Control\DeviceClasses.
#include "nt/export.h"
#include "pnp_internal.h"

namespace pnp {
namespace {

struct Interface {
  LIST_ENTRY link;
  GUID interface_class;
  PDEVICE_OBJECT pdo;   // referenced
  UNICODE_STRING name;  // \??\ROOT#TOY#0000#{...}[\reference], tag kNameTag
  USHORT base_length;   // without the reference
  bool enabled;
};

KMUTEX g_lock;
LIST_ENTRY g_interfaces = {&g_interfaces, &g_interfaces};

Interface* Find(PCUNICODE_STRING name) {
  for (LIST_ENTRY* at = g_interfaces.Flink; at != &g_interfaces; at = at->Flink) {
    auto* found = CONTAINING_RECORD(at, Interface, link);
    if (RtlEqualUnicodeString(&found->name, name, TRUE)) return found;
  }
  return nullptr;
}

UNICODE_STRING BaseOf(const Interface* found) {
  return {found->base_length, found->base_length, found->name.Buffer};
}

// How many enabled interfaces share a link; they differ in what follows it.
ULONG UsersOf(const Interface* wanted) {
  ULONG users = 0;
  const UNICODE_STRING base = BaseOf(wanted);
  for (LIST_ENTRY* at = g_interfaces.Flink; at != &g_interfaces; at = at->Flink) {
    auto* other = CONTAINING_RECORD(at, Interface, link);
    const UNICODE_STRING other_base = BaseOf(other);
    if (other->enabled && RtlEqualUnicodeString(&base, &other_base, TRUE)) ++users;
  }
  return users;
}

// \??\ and the instance path with # for each backslash, #, the class.
NTSTATUS MakeName(PDEVICE_NODE node, const GUID& interface_class, PCUNICODE_STRING reference, Name* name,
                  USHORT* base_length) {
  name->Append(L"\\??\\").Append(&node->InstancePath);
  name->Replace(L'\\', L'#', 4);
  name->Append(L"#").AppendGuid(interface_class);
  *base_length = name->length();
  if (reference != nullptr && reference->Length != 0) name->Append(L"\\").Append(reference);
  return name->Status();
}

// ...\DeviceClasses\{class}\##?#instance#{class}, and below it # or #reference.
NTSTATUS OpenClassKey(const Interface* found, bool of_reference, ACCESS_MASK access, Key* key) {
  Name path;
  path.Append(L"\\Registry\\Machine\\System\\CurrentControlSet\\Control\\DeviceClasses\\")
      .AppendGuid(found->interface_class)
      .Append(L"\\##?#")
      .Append(found->name.Buffer + 4, found->base_length - 4 * sizeof(WCHAR));
  if (of_reference) {
    path.Append(L"\\#");
    if (found->name.Length > found->base_length) {
      const USHORT first = found->base_length / sizeof(WCHAR) + 1;
      path.Append(found->name.Buffer + first, found->name.Length - first * sizeof(WCHAR));
    }
  }
  return NT_SUCCESS(path.Status()) ? key->Create(nullptr, path.Get(), access, true) : path.Status();
}

void WriteKeys(Interface* found) {
  Key device, reference;
  if (NT_SUCCESS(OpenClassKey(found, false, KEY_ALL_ACCESS, &device)))
    device.SetText(L"DeviceInstance", &NodeOf(found->pdo)->InstancePath);
  if (NT_SUCCESS(OpenClassKey(found, true, KEY_ALL_ACCESS, &reference)))
    reference.SetText(L"SymbolicLink", &found->name);
}

NTSTATUS NameOfDevice(PDEVICE_OBJECT device, Name* name) {
  UCHAR buffer[sizeof(OBJECT_NAME_INFORMATION) + 128 * sizeof(WCHAR)];
  auto* information = reinterpret_cast<POBJECT_NAME_INFORMATION>(buffer);
  ULONG length;
  const NTSTATUS status = ObQueryNameString(device, information, sizeof(buffer), &length);
  if (!NT_SUCCESS(status)) return status;
  if (information->Name.Length == 0) return STATUS_OBJECT_NAME_NOT_FOUND;
  name->Append(&information->Name);
  return name->Status();
}

NTSTATUS Enable(Interface* found) {
  if (found->enabled) return STATUS_OBJECT_NAME_EXISTS;
  if (UsersOf(found) == 0) {
    Name device;
    NTSTATUS status = NameOfDevice(found->pdo, &device);
    Name link;
    const UNICODE_STRING base = BaseOf(found);
    link.Append(&base);
    if (NT_SUCCESS(status)) status = IoCreateSymbolicLink(link.Get(), device.Get());
    if (!NT_SUCCESS(status)) return status;
  }
  found->enabled = true;
  NotifyInterfaceChange(GUID_DEVICE_INTERFACE_ARRIVAL, found->interface_class, &found->name);
  return STATUS_SUCCESS;
}

NTSTATUS Disable(Interface* found) {
  if (!found->enabled) return STATUS_OBJECT_NAME_NOT_FOUND;
  found->enabled = false;
  if (UsersOf(found) == 0) {
    UNICODE_STRING base = BaseOf(found);
    IoDeleteSymbolicLink(&base);
  }
  NotifyInterfaceChange(GUID_DEVICE_INTERFACE_REMOVAL, found->interface_class, &found->name);
  return STATUS_SUCCESS;
}

NTSTATUS Register(PDEVICE_OBJECT pdo, const GUID& interface_class, Name* name, USHORT base_length) {
  if (Find(name->Get()) != nullptr) return STATUS_SUCCESS;  // registered before: the same name
  auto* added = static_cast<Interface*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Interface), kNodeTag));
  if (added == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  ObfReferenceObject(pdo);
  *added = {{}, interface_class, pdo, name->Take(), base_length, false};
  InsertTailList(&g_interfaces, &added->link);
  WriteKeys(added);
  return STATUS_SUCCESS;
}

bool IsWanted(const Interface* found, const GUID& interface_class, PDEVICE_OBJECT pdo, ULONG flags) {
  return IsEqualGUID(found->interface_class, interface_class) && (pdo == nullptr || found->pdo == pdo) &&
         (found->enabled || (flags & DEVICE_INTERFACE_INCLUDE_NONACTIVE));
}

}  // namespace

void InitializeInterfaces() {
  KeInitializeMutex(&g_lock, 0);
}

void DisableInterfacesOf(PDEVICE_NODE node) {
  io::MutexGuard guard(&g_lock);
  for (LIST_ENTRY* at = g_interfaces.Flink; at != &g_interfaces; at = at->Flink) {
    auto* found = CONTAINING_RECORD(at, Interface, link);
    if (found->pdo == node->PhysicalDeviceObject) Disable(found);
  }
}

void ForgetInterfacesOf(PDEVICE_NODE node) {
  io::MutexGuard guard(&g_lock);
  for (LIST_ENTRY* at = g_interfaces.Flink; at != &g_interfaces;) {
    auto* found = CONTAINING_RECORD(at, Interface, link);
    at = at->Flink;
    if (found->pdo != node->PhysicalDeviceObject) continue;
    Disable(found);
    RemoveEntryList(&found->link);
    ObfDereferenceObject(found->pdo);
    ExFreePoolWithTag(found->name.Buffer, kNameTag);
    ExFreePoolWithTag(found, kNodeTag);
  }
}

}  // namespace pnp

/// Registers an interface of a device and gives its name, which stays disabled until
/// IoSetDeviceInterfaceState. Registering it again gives the same name.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoRegisterDeviceInterface.
NT_EXPORT(IoRegisterDeviceInterface, nt::AtMost(PASSIVE_LEVEL), Full, "PnpInterface.*");
extern "C" NTSTATUS NTAPI IoRegisterDeviceInterface(PDEVICE_OBJECT PhysicalDeviceObject,
                                                    CONST GUID* InterfaceClassGuid,
                                                    PUNICODE_STRING ReferenceString,
                                                    PUNICODE_STRING SymbolicLinkName) {
  PDEVICE_NODE node = pnp::NodeOf(PhysicalDeviceObject);
  if (node == nullptr || node->InstancePath.Length == 0) return STATUS_INVALID_DEVICE_REQUEST;
  if (ReferenceString != nullptr) {
    for (USHORT i = 0; i < ReferenceString->Length / sizeof(WCHAR); ++i) {
      if (ReferenceString->Buffer[i] == L'\\' || ReferenceString->Buffer[i] == L'/')
        return STATUS_INVALID_DEVICE_REQUEST;
    }
  }
  pnp::Name name;
  USHORT base_length;
  NTSTATUS status = pnp::MakeName(node, *InterfaceClassGuid, ReferenceString, &name, &base_length);
  if (NT_SUCCESS(status)) status = ob::DuplicateString(*name.Get(), PagedPool, kNameTag, SymbolicLinkName);
  if (!NT_SUCCESS(status)) return status;
  io::MutexGuard guard(&pnp::g_lock);
  status = pnp::Register(PhysicalDeviceObject, *InterfaceClassGuid, &name, base_length);
  if (!NT_SUCCESS(status)) RtlFreeUnicodeString(SymbolicLinkName);
  return status;
}

/// Enables an interface (its symbolic link appears, those who registered for its class hear of it), or
/// disables it.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoSetDeviceInterfaceState.
NT_EXPORT(IoSetDeviceInterfaceState, nt::AtMost(PASSIVE_LEVEL), Full, "PnpInterface.*");
extern "C" NTSTATUS NTAPI IoSetDeviceInterfaceState(PUNICODE_STRING SymbolicLinkName, BOOLEAN Enable) {
  io::MutexGuard guard(&pnp::g_lock);
  pnp::Interface* found = pnp::Find(SymbolicLinkName);
  if (found == nullptr) return STATUS_OBJECT_NAME_NOT_FOUND;
  return Enable ? pnp::Enable(found) : pnp::Disable(found);
}

/// The names of a class's interfaces: those that are enabled, or all; of one device, or of all. A list of
/// zero-terminated names in paged pool, which the caller frees.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: interfaces of devices that have not been there since the machine's start are left out of
/// the names that are not enabled; no interface is a class's default, which would come first.
/// Source: WDK wdm/IoGetDeviceInterfaces.
NT_EXPORT(IoGetDeviceInterfaces, nt::AtMost(PASSIVE_LEVEL), Partial, "PnpInterface.*");
extern "C" NTSTATUS NTAPI IoGetDeviceInterfaces(CONST GUID* InterfaceClassGuid,
                                                PDEVICE_OBJECT PhysicalDeviceObject, ULONG Flags,
                                                PWSTR* SymbolicLinkList) {
  io::MutexGuard guard(&pnp::g_lock);
  SIZE_T size = sizeof(WCHAR);
  const auto wanted = [&](LIST_ENTRY* at) {
    auto* found = CONTAINING_RECORD(at, pnp::Interface, link);
    return pnp::IsWanted(found, *InterfaceClassGuid, PhysicalDeviceObject, Flags) ? found : nullptr;
  };
  for (LIST_ENTRY* at = pnp::g_interfaces.Flink; at != &pnp::g_interfaces; at = at->Flink) {
    if (const pnp::Interface* found = wanted(at)) size += found->name.Length + sizeof(WCHAR);
  }
  auto* list = static_cast<PWSTR>(ExAllocatePoolWithTag(PagedPool, size, kNameTag));
  *SymbolicLinkList = list;
  if (list == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  for (LIST_ENTRY* at = pnp::g_interfaces.Flink; at != &pnp::g_interfaces; at = at->Flink) {
    const pnp::Interface* found = wanted(at);
    if (found == nullptr) continue;
    RtlCopyMemory(list, found->name.Buffer, found->name.Length);
    list += found->name.Length / sizeof(WCHAR);
    *list++ = 0;
  }
  *list = 0;
  return STATUS_SUCCESS;
}

/// The name that the same device, with the same reference, has in another class.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoGetDeviceInterfaceAlias.
NT_EXPORT(IoGetDeviceInterfaceAlias, nt::AtMost(PASSIVE_LEVEL), Full, "PnpInterface.Alias*");
extern "C" NTSTATUS NTAPI IoGetDeviceInterfaceAlias(PUNICODE_STRING SymbolicLinkName,
                                                    CONST GUID* AliasInterfaceClassGuid,
                                                    PUNICODE_STRING AliasSymbolicLinkName) {
  io::MutexGuard guard(&pnp::g_lock);
  pnp::Interface* found = pnp::Find(SymbolicLinkName);
  if (found == nullptr) return STATUS_OBJECT_NAME_NOT_FOUND;
  UNICODE_STRING reference = {};
  if (found->name.Length > found->base_length) {
    const USHORT first = found->base_length / sizeof(WCHAR) + 1;
    reference.Buffer = found->name.Buffer + first;
    reference.Length = reference.MaximumLength =
        static_cast<USHORT>(found->name.Length - first * sizeof(WCHAR));
  }
  pnp::Name name;
  USHORT base_length;
  NTSTATUS status =
      pnp::MakeName(pnp::NodeOf(found->pdo), *AliasInterfaceClassGuid, &reference, &name, &base_length);
  if (!NT_SUCCESS(status)) return status;
  const pnp::Interface* alias = pnp::Find(name.Get());
  return alias != nullptr ? ob::DuplicateString(alias->name, PagedPool, kNameTag, AliasSymbolicLinkName)
                          : STATUS_OBJECT_NAME_NOT_FOUND;
}

/// Opens the key where drivers keep facts of an interface; it is made if it is not there.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoOpenDeviceInterfaceRegistryKey.
NT_EXPORT(IoOpenDeviceInterfaceRegistryKey, nt::AtMost(PASSIVE_LEVEL), Full, "PnpInterface.Key*");
extern "C" NTSTATUS NTAPI IoOpenDeviceInterfaceRegistryKey(PUNICODE_STRING SymbolicLinkName,
                                                           ACCESS_MASK DesiredAccess,
                                                           PHANDLE DeviceInterfaceKey) {
  io::MutexGuard guard(&pnp::g_lock);
  pnp::Interface* found = pnp::Find(SymbolicLinkName);
  if (found == nullptr) return STATUS_OBJECT_NAME_NOT_FOUND;
  pnp::Key reference, parameters;
  NTSTATUS status = pnp::OpenClassKey(found, true, KEY_ALL_ACCESS, &reference);
  UNICODE_STRING name = ob::String(L"Device Parameters");
  if (NT_SUCCESS(status)) status = parameters.Create(reference.get(), &name, DesiredAccess, true);
  *DeviceInterfaceKey = NT_SUCCESS(status) ? parameters.Take() : nullptr;
  return status;
}
