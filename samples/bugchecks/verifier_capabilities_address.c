/* Verified with I/O checking: IRP_MN_QUERY_CAPABILITIES is sent, and the structure's address is not as it has to be. */
#include <ntddk.h>

static NTSTATUS Dispatch(PDEVICE_OBJECT Device, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Device);
    Irp->IoStatus.Status = STATUS_NOT_SUPPORTED;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_NOT_SUPPORTED;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    IO_STATUS_BLOCK IoStatus;
    KEVENT Event;
    PIRP Irp;
    DEVICE_CAPABILITIES Capabilities;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->MajorFunction[IRP_MJ_PNP] = Dispatch;
    if (!NT_SUCCESS(IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device)))
        return STATUS_INSUFFICIENT_RESOURCES;
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    Irp = IoBuildSynchronousFsdRequest(IRP_MJ_PNP, Device, NULL, 0, NULL, &Event, &IoStatus);
    if (Irp == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    IoGetNextIrpStackLocation(Irp)->MinorFunction = IRP_MN_QUERY_CAPABILITIES;
    Irp->IoStatus.Status = STATUS_NOT_SUPPORTED;
    RtlZeroMemory(&Capabilities, sizeof(Capabilities));
    Capabilities.Size = sizeof(Capabilities);
    Capabilities.Version = 1;
    Capabilities.Address = MAXULONG;
    Capabilities.UINumber = MAXULONG;
    Capabilities.Address = 0;
    IoGetNextIrpStackLocation(Irp)->Parameters.DeviceCapabilities.Capabilities = &Capabilities;
    IoCallDriver(Device, Irp);
    return STATUS_UNSUCCESSFUL;
}
