/* A device that counts: \\.\Counter adds what it is given and can be reset. */
#include <ntddk.h>

#include "counter_ioctl.h"

typedef struct _COUNTER_EXTENSION {
    volatile LONG Value;
} COUNTER_EXTENSION, *PCOUNTER_EXTENSION;

static UNICODE_STRING DeviceName = RTL_CONSTANT_STRING(L"\\Device\\Counter");
static UNICODE_STRING LinkName = RTL_CONSTANT_STRING(L"\\DosDevices\\Counter");

static NTSTATUS Complete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static NTSTATUS CreateOrClose(PDEVICE_OBJECT Device, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Device);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS Control(PDEVICE_OBJECT Device, PIRP Irp)
{
    PCOUNTER_EXTENSION Counter = Device->DeviceExtension;
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    ULONG Input = Stack->Parameters.DeviceIoControl.InputBufferLength;
    ULONG Output = Stack->Parameters.DeviceIoControl.OutputBufferLength;
    PLONG Data = Irp->AssociatedIrp.SystemBuffer;

    switch (Stack->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_COUNTER_ADD:
        if (Input < sizeof(LONG) || Output < sizeof(LONG))
            return Complete(Irp, STATUS_BUFFER_TOO_SMALL, 0);
        *Data = InterlockedExchangeAdd(&Counter->Value, *Data) + *Data;
        return Complete(Irp, STATUS_SUCCESS, sizeof(LONG));
    case IOCTL_COUNTER_RESET:
        if (Output < sizeof(LONG))
            return Complete(Irp, STATUS_BUFFER_TOO_SMALL, 0);
        *Data = InterlockedExchange(&Counter->Value, 0);
        return Complete(Irp, STATUS_SUCCESS, sizeof(LONG));
    default:
        return Complete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

static void Unload(PDRIVER_OBJECT Driver)
{
    IoDeleteSymbolicLink(&LinkName);
    IoDeleteDevice(Driver->DeviceObject);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->DriverUnload = Unload;
    Driver->MajorFunction[IRP_MJ_CREATE] = CreateOrClose;
    Driver->MajorFunction[IRP_MJ_CLOSE] = CreateOrClose;
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Control;
    Status = IoCreateDevice(Driver, sizeof(COUNTER_EXTENSION), &DeviceName, FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN,
                            FALSE, &Device);
    if (!NT_SUCCESS(Status))
        return Status;
    Status = IoCreateSymbolicLink(&LinkName, &DeviceName);
    if (!NT_SUCCESS(Status))
        IoDeleteDevice(Device);
    return Status;
}
