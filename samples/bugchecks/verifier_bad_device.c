/* Verified with I/O checking: IoCallDriver with the device extension where the device object is expected. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    NTSTATUS Status;
    PIRP Irp;

    UNREFERENCED_PARAMETER(RegistryPath);
    Status = IoCreateDevice(Driver, 256, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status))
        return Status;
    Irp = IoAllocateIrp(1, FALSE);
    if (Irp != NULL)
        IoCallDriver((PDEVICE_OBJECT)Device->DeviceExtension, Irp);
    return STATUS_UNSUCCESSFUL;
}
