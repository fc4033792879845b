/* Verified with I/O checking: a dispatch routine returns success and has forgotten to complete the request. */
#include <ntddk.h>

static NTSTATUS Dispatch(PDEVICE_OBJECT Device, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Device);
    Irp->IoStatus.Status = STATUS_SUCCESS;
    return STATUS_SUCCESS;
}

/* Sends a request to a device of its own. */
static NTSTATUS Ask(PDEVICE_OBJECT Device)
{
    IO_STATUS_BLOCK Status;
    KEVENT Event;
    PIRP Irp;

    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    Irp = IoBuildDeviceIoControlRequest(0x222000, Device, NULL, 0, NULL, 0, FALSE, &Event, &Status);
    if (Irp == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    return IoCallDriver(Device, Irp);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Dispatch;
    Status = IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status))
        return Status;
    Ask(Device);
    IoDeleteDevice(Device);
    return STATUS_UNSUCCESSFUL;
}
