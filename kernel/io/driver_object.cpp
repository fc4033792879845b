// Driver objects.
#include "driver_internal.h"
#include "mm/image.h"
#include "nt/export.h"

namespace io {
namespace {

void InitializeDriver(PDRIVER_OBJECT driver, const UNICODE_STRING& name, ULONG extension_offset) {
  driver->Type = IO_TYPE_DRIVER;
  driver->Size = sizeof(DRIVER_OBJECT);
  driver->Flags = DRVO_LEGACY_DRIVER;
  driver->DriverExtension =
      reinterpret_cast<PDRIVER_EXTENSION>(reinterpret_cast<UCHAR*>(driver) + extension_offset);
  driver->DriverExtension->DriverObject = driver;
  InitializeListHead(&IopDriverExtensionOf(driver)->ReinitializeList);
  driver->DriverName = name;
  KeInitializeEvent(&IopDriverExtensionOf(driver)->EntryDone, NotificationEvent, FALSE);
  for (auto& routine : driver->MajorFunction) routine = IopInvalidDeviceRequest;
}

}  // namespace

NTSTATUS NewDriverObject(const UNICODE_STRING& name, const UNICODE_STRING& service_name, PCUNICODE_STRING key,
                         PDRIVER_OBJECT* driver) {
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, const_cast<PUNICODE_STRING>(&name),
                             OBJ_PERMANENT | OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
  PVOID object;
  const ULONG driver_size = (sizeof(DRIVER_OBJECT) + 15) & ~15u;
  NTSTATUS status = ObCreateObject(KernelMode, IoDriverObjectType, &attributes, KernelMode, nullptr,
                                   driver_size + sizeof(IopDriverExtension), 0, 0, &object);
  if (!NT_SUCCESS(status)) {
    ExFreePoolWithTag(name.Buffer, kNameTag);
    return status;
  }
  auto* created = static_cast<PDRIVER_OBJECT>(object);
  InitializeDriver(created, name, driver_size);
  status =
      ob::DuplicateString(service_name, NonPagedPoolNx, kNameTag, &created->DriverExtension->ServiceKeyName);
  if (NT_SUCCESS(status) && key != nullptr)
    status =
        ob::DuplicateString(*key, NonPagedPoolNx, kNameTag, &IopDriverExtensionOf(created)->RegistryPath);
  if (!NT_SUCCESS(status)) {
    ObfDereferenceObject(object);
    return status;
  }
  status = ObInsertObject(object, nullptr, 0, 0, nullptr, nullptr);
  if (NT_SUCCESS(status)) *driver = created;
  return status;
}

}  // namespace io

extern "C" VOID NTAPI IopDeleteDriver(PVOID Object) {
  auto* driver = static_cast<PDRIVER_OBJECT>(Object);
  IopDriverExtension* extension = IopDriverExtensionOf(driver);
  if (extension != nullptr) {
    while (PIO_CLIENT_EXTENSION client = extension->ClientDriverExtension) {
      extension->ClientDriverExtension = client->NextExtension;
      ExFreePoolWithTag(client, 'virD');
    }
    IopFreeReinitializations(extension);
    if (extension->RegistryPath.Buffer != nullptr)
      ExFreePoolWithTag(extension->RegistryPath.Buffer, kNameTag);
  }
  if (driver->DriverExtension != nullptr && driver->DriverExtension->ServiceKeyName.Buffer != nullptr) {
    ExFreePoolWithTag(driver->DriverExtension->ServiceKeyName.Buffer, kNameTag);
  }
  if (driver->DriverName.Buffer != nullptr) ExFreePoolWithTag(driver->DriverName.Buffer, kNameTag);
  if (driver->DriverSection != nullptr)
    MmUnloadSystemImage(static_cast<PKLDR_DATA_TABLE_ENTRY>(driver->DriverSection));
}

/// Memory of a driver that is found again by an address: it belongs to the driver object and goes with it.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoAllocateDriverObjectExtension.
NT_EXPORT(IoAllocateDriverObjectExtension, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" NTSTATUS NTAPI IoAllocateDriverObjectExtension(PDRIVER_OBJECT DriverObject,
                                                          PVOID ClientIdentificationAddress,
                                                          ULONG DriverObjectExtensionSize,
                                                          PVOID* DriverObjectExtension) {
  *DriverObjectExtension = nullptr;
  if (IoGetDriverObjectExtension(DriverObject, ClientIdentificationAddress) != nullptr)
    return STATUS_OBJECT_NAME_COLLISION;
  const SIZE_T size = sizeof(IO_CLIENT_EXTENSION) + DriverObjectExtensionSize;
  auto* client = static_cast<PIO_CLIENT_EXTENSION>(ExAllocatePoolWithTag(NonPagedPoolNx, size, 'virD'));
  if (client == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlZeroMemory(client, size);
  client->ClientIdentificationAddress = ClientIdentificationAddress;
  IopDriverExtension* extension = IopDriverExtensionOf(DriverObject);
  client->NextExtension = extension->ClientDriverExtension;
  extension->ClientDriverExtension = client;
  *DriverObjectExtension = client + 1;
  return STATUS_SUCCESS;
}

/// Finds what IoAllocateDriverObjectExtension allocated; 0 if nothing.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoGetDriverObjectExtension.
NT_EXPORT(IoGetDriverObjectExtension, nt::AtMost(DISPATCH_LEVEL), Full, "KernelIo.*");
extern "C" PVOID NTAPI IoGetDriverObjectExtension(PDRIVER_OBJECT DriverObject,
                                                  PVOID ClientIdentificationAddress) {
  for (auto* client = IopDriverExtensionOf(DriverObject)->ClientDriverExtension; client != nullptr;
       client = client->NextExtension) {
    if (client->ClientIdentificationAddress == ClientIdentificationAddress) return client + 1;
  }
  return nullptr;
}
