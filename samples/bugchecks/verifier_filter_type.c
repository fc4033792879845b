/* Verified with I/O checking: a filter does not take the device type over. */
#include <ntddk.h>

static PDEVICE_OBJECT PhysicalDevice;

static NTSTATUS PassDown(PDEVICE_OBJECT Device, PIRP Irp)
{
    PDEVICE_OBJECT Below = *(PDEVICE_OBJECT *)Device->DeviceExtension;

    IoSkipCurrentIrpStackLocation(Irp);
    return IoCallDriver(Below, Irp);
}

static NTSTATUS Pnp(PDEVICE_OBJECT Device, PIRP Irp)
{
    UCHAR Minor = IoGetCurrentIrpStackLocation(Irp)->MinorFunction;
    PDEVICE_OBJECT Below = *(PDEVICE_OBJECT *)Device->DeviceExtension;
    NTSTATUS Status;

    Status = PassDown(Device, Irp);
    if (Minor == IRP_MN_REMOVE_DEVICE) {
        IoDetachDevice(Below);
        IoDeleteDevice(Device);
    }
    return Status;
}

static NTSTATUS Attach(PDRIVER_OBJECT Driver, ULONG Type, ULONG Flags)
{
    PDEVICE_OBJECT Device;
    NTSTATUS Status = IoCreateDevice(Driver, sizeof(PDEVICE_OBJECT), NULL, Type, 0, FALSE, &Device);

    if (!NT_SUCCESS(Status))
        return Status;
    *(PDEVICE_OBJECT *)Device->DeviceExtension = IoAttachDeviceToDeviceStack(Device, PhysicalDevice);
    Device->Flags |= Flags;
    Device->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

static NTSTATUS AddDevice(PDRIVER_OBJECT Driver, PDEVICE_OBJECT Pdo)
{
    PhysicalDevice = Pdo;
    if (!NT_SUCCESS(Attach(Driver, FILE_DEVICE_UNKNOWN, DO_BUFFERED_IO | DO_POWER_PAGABLE)))
        return STATUS_UNSUCCESSFUL;
    return Attach(Driver, FILE_DEVICE_KEYBOARD, DO_BUFFERED_IO | DO_POWER_PAGABLE);
}

static VOID Unload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->MajorFunction[IRP_MJ_PNP] = Pnp;
    Driver->MajorFunction[IRP_MJ_POWER] = PassDown;
    Driver->MajorFunction[IRP_MJ_SYSTEM_CONTROL] = PassDown;
    Driver->DriverExtension->AddDevice = AddDevice;
    Driver->DriverUnload = Unload;
    return STATUS_SUCCESS;
}
