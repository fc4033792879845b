// Driver objects.
#include "io_internal.h"
#include "mm/image.h"
#include "nt/export.h"

extern "C" VOID NTAPI IopDeleteDriver(PVOID Object) {
  auto* driver = static_cast<PDRIVER_OBJECT>(Object);
  IopDriverExtension* extension = IopDriverExtensionOf(driver);
  if (extension != nullptr) {
    while (PIO_CLIENT_EXTENSION client = extension->ClientDriverExtension) {
      extension->ClientDriverExtension = client->NextExtension;
      ExFreePoolWithTag(client, 'virD');
    }
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

/// A routine that is called once the boot drivers are loaded (a boot driver's), or after DriverEntry (any
/// other's). IRQL: PASSIVE_LEVEL. Differs from NT: at most 8 a driver. Source: WDK
/// ntddk/IoRegisterDriverReinitialization.
NT_EXPORT(IoRegisterDriverReinitialization, nt::AtMost(PASSIVE_LEVEL), Partial, "KernelIo.*");
extern "C" VOID NTAPI IoRegisterDriverReinitialization(PDRIVER_OBJECT DriverObject,
                                                       PDRIVER_REINITIALIZE DriverReinitializationRoutine,
                                                       PVOID Context) {
  IopDriverExtension* extension = IopDriverExtensionOf(DriverObject);
  if (extension->ReinitializeCount >= RTL_NUMBER_OF(extension->ReinitializeList)) return;
  extension->ReinitializeList[extension->ReinitializeCount][0] =
      reinterpret_cast<PVOID>(DriverReinitializationRoutine);
  extension->ReinitializeList[extension->ReinitializeCount][1] = Context;
  ++extension->ReinitializeCount;
}
