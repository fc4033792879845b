/* Verified with I/O checking: a dispatch routine returns at DISPATCH_LEVEL. */
#include <ntddk.h>

static NTSTATUS Dispatch(PDEVICE_OBJECT Device, PIRP Irp)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Device);
    Irp->IoStatus.Status = STATUS_SUCCESS;
    Irp->IoStatus.Information = 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
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
