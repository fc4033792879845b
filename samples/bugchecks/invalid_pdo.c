/* A driver tells plug and play of new children, but by a device object of its own instead of the PDO below it. */
#include <wdm.h>

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    Status = IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status))
        return Status;
    IoInvalidateDeviceRelations(Device, BusRelations);
    IoDeleteDevice(Device);
    return STATUS_UNSUCCESSFUL;
}
