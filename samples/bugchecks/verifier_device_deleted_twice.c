/* Verified with I/O checking: a device is deleted twice; an open handle keeps it meanwhile. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    Status = IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status))
        return Status;
    ObReferenceObject(Device);
    IoDeleteDevice(Device);
    IoDeleteDevice(Device);
    return STATUS_UNSUCCESSFUL;
}
