/* Verified: a device is deleted that is registered with WMI. */
#include <ntddk.h>

static NTSTATUS SystemControl(PDEVICE_OBJECT Device, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Device);
    Irp->IoStatus.Status = STATUS_NOT_SUPPORTED;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_NOT_SUPPORTED;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->MajorFunction[IRP_MJ_SYSTEM_CONTROL] = SystemControl;
    Status = IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status))
        return Status;
    Device->Flags &= ~DO_DEVICE_INITIALIZING;
    Status = IoWMIRegistrationControl(Device, WMIREG_ACTION_REGISTER);
    IoDeleteDevice(Device);
    return Status;
}
