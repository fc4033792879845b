/* Verified with I/O checking: an IRP is freed that belongs to the thread that asked. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    IO_STATUS_BLOCK Status;
    PDEVICE_OBJECT Device;
    KEVENT Event;
    PIRP Irp;

    UNREFERENCED_PARAMETER(RegistryPath);
    if (!NT_SUCCESS(IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device)))
        return STATUS_INSUFFICIENT_RESOURCES;
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    Irp = IoBuildDeviceIoControlRequest(0x222000, Device, NULL, 0, NULL, 0, FALSE, &Event, &Status);
    if (Irp != NULL)
        IoFreeIrp(Irp);
    IoDeleteDevice(Device);
    return STATUS_UNSUCCESSFUL;
}
