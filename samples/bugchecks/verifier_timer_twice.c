/* Verified with I/O checking: IoInitializeTimer for a device that has a timer. */
#include <ntddk.h>

static VOID Tick(PDEVICE_OBJECT Device, PVOID Context)
{
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Context);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    Status = IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status))
        return Status;
    IoInitializeTimer(Device, Tick, NULL);
    IoInitializeTimer(Device, Tick, NULL);
    IoDeleteDevice(Device);
    return STATUS_UNSUCCESSFUL;
}
