/* A driver keeps a power request of its device for ever. */
#include <ntddk.h>

static NTSTATUS Power(PDEVICE_OBJECT Device, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Device);
    IoMarkIrpPending(Irp);
    return STATUS_PENDING;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Pdo = NULL, Device;
    POWER_STATE State;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    Status = IoReportDetectedDevice(Driver, InterfaceTypeUndefined, (ULONG)-1, (ULONG)-1, NULL, NULL, FALSE, &Pdo);
    if (!NT_SUCCESS(Status))
        return Status;
    Driver->MajorFunction[IRP_MJ_POWER] = Power;
    Status = IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status))
        return Status;
    IoAttachDeviceToDeviceStack(Device, Pdo);
    Device->Flags &= ~DO_DEVICE_INITIALIZING;
    State.DeviceState = PowerDeviceD3;
    Status = PoRequestPowerIrp(Pdo, IRP_MN_SET_POWER, State, NULL, NULL, NULL);
    return Status == STATUS_PENDING ? STATUS_SUCCESS : Status;
}
