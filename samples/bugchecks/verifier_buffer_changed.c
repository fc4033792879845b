/* Verified with I/O checking: a driver encrypts what is to be written in the buffer of its caller. */
#include <ntddk.h>

static UCHAR Buffer[512];

static NTSTATUS Dispatch(PDEVICE_OBJECT Device, PIRP Irp)
{
    PUCHAR Data = MmGetSystemAddressForMdlSafe(Irp->MdlAddress, NormalPagePriority);

    UNREFERENCED_PARAMETER(Device);
    if (Data != NULL)
        Data[0] ^= 0x5A;
    Irp->IoStatus.Status = STATUS_SUCCESS;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_SUCCESS;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    NTSTATUS Status;
    KEVENT Event;
    IO_STATUS_BLOCK IoStatus;
    LARGE_INTEGER Offset;
    PIRP Irp;

    UNREFERENCED_PARAMETER(RegistryPath);
    Status = IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status))
        return Status;
    Driver->MajorFunction[IRP_MJ_WRITE] = Dispatch;
    Device->Flags |= DO_DIRECT_IO;
    Offset.QuadPart = 0;
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    Irp = IoBuildSynchronousFsdRequest(IRP_MJ_WRITE, Device, Buffer, sizeof(Buffer), &Offset, &Event, &IoStatus);
    if (Irp != NULL)
        IoCallDriver(Device, Irp);
    return STATUS_UNSUCCESSFUL;
}
