/* Verified for I/O: IoCompleteRequest above DISPATCH_LEVEL, as from an interrupt service routine. */
#include <ntddk.h>

static NTSTATUS Dispatch(PDEVICE_OBJECT Device, PIRP Irp)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Device);
    KeRaiseIrql(DISPATCH_LEVEL + 1, &OldIrql);
    Irp->IoStatus.Status = STATUS_SUCCESS;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    KeLowerIrql(OldIrql);
    return STATUS_SUCCESS;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    KEVENT Event;
    IO_STATUS_BLOCK IoStatus;
    PIRP Irp;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->MajorFunction[IRP_MJ_FLUSH_BUFFERS] = Dispatch;
    if (!NT_SUCCESS(IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device)))
        return STATUS_INSUFFICIENT_RESOURCES;
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    Irp = IoBuildSynchronousFsdRequest(IRP_MJ_FLUSH_BUFFERS, Device, NULL, 0, NULL, &Event, &IoStatus);
    if (Irp != NULL)
        IoCallDriver(Device, Irp);
    return STATUS_UNSUCCESSFUL;
}
