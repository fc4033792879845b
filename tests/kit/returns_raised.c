/* Answers a program's request, and forgets to lower the IRQL that it raised for it. */
#include "named_device.h"

static UNICODE_STRING DeviceName = RTL_CONSTANT_STRING(L"\\Device\\ReturnsRaised");
static UNICODE_STRING LinkName = RTL_CONSTANT_STRING(L"\\DosDevices\\Driver");

static NTSTATUS Complete(PIRP Irp)
{
    Irp->IoStatus.Status = STATUS_SUCCESS;
    Irp->IoStatus.Information = 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_SUCCESS;
}

static NTSTATUS NTAPI Succeed(PDEVICE_OBJECT Device, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Device);
    return Complete(Irp);
}

static NTSTATUS NTAPI Control(PDEVICE_OBJECT Device, PIRP Irp)
{
    KIRQL OldIrql;
    const NTSTATUS Status = Complete(Irp);

    UNREFERENCED_PARAMETER(Device);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    return Status;
}

static VOID NTAPI Unload(PDRIVER_OBJECT Driver)
{
    DeleteNamedDevice(Driver->DeviceObject, &LinkName);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->DriverUnload = Unload;
    Driver->MajorFunction[IRP_MJ_CREATE] = Succeed;
    Driver->MajorFunction[IRP_MJ_CLOSE] = Succeed;
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Control;
    return CreateNamedDevice(Driver, 0, &DeviceName, &LinkName, &Device);
}
