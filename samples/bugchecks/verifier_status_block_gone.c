/* Verified with I/O checking: a request is completed in the thread that sent it, from whose stack the status block has gone. */
#include <ntddk.h>

static KEVENT Event;
static PIRP Waiting;

static NTSTATUS Dispatch(PDEVICE_OBJECT Device, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Device);
    IoMarkIrpPending(Irp);
    Waiting = Irp;
    return STATUS_PENDING;
}

/* Its status block is gone when it returns. */
static DECLSPEC_NOINLINE NTSTATUS Ask(PDEVICE_OBJECT Device)
{
    IO_STATUS_BLOCK IoStatus;
    PIRP Irp;

    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    Irp = IoBuildSynchronousFsdRequest(IRP_MJ_FLUSH_BUFFERS, Device, NULL, 0, NULL, &Event, &IoStatus);
    return Irp == NULL ? STATUS_INSUFFICIENT_RESOURCES : IoCallDriver(Device, Irp);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    Status = IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status))
        return Status;
    Driver->MajorFunction[IRP_MJ_FLUSH_BUFFERS] = Dispatch;
    if (Ask(Device) != STATUS_PENDING)
        return STATUS_UNSUCCESSFUL;
    Waiting->IoStatus.Status = STATUS_SUCCESS;
    IoCompleteRequest(Waiting, IO_NO_INCREMENT);
    return STATUS_UNSUCCESSFUL;
}
