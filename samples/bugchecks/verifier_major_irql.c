/* Verified with I/O checking: IRP_MJ_CLEANUP is passed down with a spin lock held. */
#include <ntddk.h>

static KSPIN_LOCK Lock;

static PDEVICE_OBJECT Lower;

static NTSTATUS Complete(PIRP Irp, NTSTATUS Status)
{
    Irp->IoStatus.Status = Status;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static NTSTATUS Dispatch(PDEVICE_OBJECT Device, PIRP Irp)
{
    KIRQL OldIrql;
    NTSTATUS Status;

    if (Device == Lower)
        return Complete(Irp, STATUS_SUCCESS);
    KeAcquireSpinLock(&Lock, &OldIrql);
    IoSkipCurrentIrpStackLocation(Irp);
    Status = IoCallDriver(Lower, Irp);
    KeReleaseSpinLock(&Lock, OldIrql);
    return Status;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    IO_STATUS_BLOCK IoStatus;
    KEVENT Event;
    PIRP Irp;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->MajorFunction[IRP_MJ_CLEANUP] = Dispatch;
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
    IoGetNextIrpStackLocation(Irp)->MajorFunction = IRP_MJ_CLEANUP;
    IoCallDriver(Device, Irp);
    return STATUS_UNSUCCESSFUL;
}
