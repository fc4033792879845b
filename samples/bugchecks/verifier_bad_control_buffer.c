/* Verified with I/O checking: IoBuildDeviceIoControlRequest for direct I/O with a buffer that does not exist. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    NTSTATUS Status;
    KEVENT Event;
    IO_STATUS_BLOCK IoStatus;

    UNREFERENCED_PARAMETER(RegistryPath);
    Status = IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status))
        return Status;
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    IoBuildDeviceIoControlRequest(0x222002, Device, NULL, 0, (PVOID)0x10000, 512, FALSE, &Event, &IoStatus);
    return STATUS_UNSUCCESSFUL;
}
