/* Verified with I/O checking: a filter returns success while the request is pending below; forced pending makes it so. */
#include <ntddk.h>

static PDEVICE_OBJECT Lower;

static NTSTATUS Complete(PIRP Irp, NTSTATUS Status)
{
    Irp->IoStatus.Status = Status;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static NTSTATUS Dispatch(PDEVICE_OBJECT Device, PIRP Irp)
{
    if (Device == Lower)
        return Complete(Irp, STATUS_SUCCESS);
    IoSkipCurrentIrpStackLocation(Irp);
    IoCallDriver(Lower, Irp);
    return STATUS_SUCCESS;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    IO_STATUS_BLOCK IoStatus;
    KEVENT Event;
    PIRP Irp;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->MajorFunction[IRP_MJ_FLUSH_BUFFERS] = Dispatch;
    if (!NT_SUCCESS(IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Lower)))
        return STATUS_INSUFFICIENT_RESOURCES;
    Lower->Flags &= ~DO_DEVICE_INITIALIZING;
    if (!NT_SUCCESS(IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device)))
        return STATUS_INSUFFICIENT_RESOURCES;
    IoAttachDeviceToDeviceStack(Device, Lower);
    Device->Flags &= ~DO_DEVICE_INITIALIZING;
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    Irp = IoBuildSynchronousFsdRequest(IRP_MJ_FLUSH_BUFFERS, Device, NULL, 0, NULL, &Event, &IoStatus);
    if (Irp == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    IoCallDriver(Device, Irp);
    return STATUS_UNSUCCESSFUL;
}
