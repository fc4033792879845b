/*
 * Device control with all four ways of passing buffers, each handled as it must be: lengths are checked, METHOD_NEITHER
 * addresses are probed and touched under __try only, and what comes from the caller is never trusted twice.
 */
#include "../named_device.h"
#include "ioctl_server.h"

typedef struct _SERVER_EXTENSION {
    volatile LONG LastSum;
    volatile LONG Opens;
} SERVER_EXTENSION, *PSERVER_EXTENSION;

static UNICODE_STRING DeviceName = RTL_CONSTANT_STRING(L"\\Device\\IoctlServer");
static UNICODE_STRING LinkName = RTL_CONSTANT_STRING(L"\\DosDevices\\IoctlServer");

static NTSTATUS Reverse(PIRP Irp, ULONG InputLength, ULONG OutputLength)
{
    PUCHAR Bytes = Irp->AssociatedIrp.SystemBuffer; /* input and output at once */
    ULONG i;

    if (OutputLength < InputLength)
        return STATUS_BUFFER_TOO_SMALL;
    for (i = 0; i < InputLength / 2; ++i) {
        UCHAR Byte = Bytes[i];
        Bytes[i] = Bytes[InputLength - 1 - i];
        Bytes[InputLength - 1 - i] = Byte;
    }
    Irp->IoStatus.Information = InputLength;
    return STATUS_SUCCESS;
}

/* The output buffer's pages, mapped for the kernel; NULL with a status in *Status. */
static PUCHAR MapDirectBuffer(PIRP Irp, NTSTATUS *Status)
{
    PUCHAR Bytes = NULL;

    *Status = STATUS_INVALID_PARAMETER;
    if (Irp->MdlAddress == NULL)
        return NULL;
    Bytes = MmGetSystemAddressForMdlSafe(Irp->MdlAddress, NormalPagePriority);
    *Status = Bytes != NULL ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
    return Bytes;
}

static NTSTATUS SumDirect(PSERVER_EXTENSION Server, PIRP Irp, ULONG OutputLength)
{
    NTSTATUS Status;
    PUCHAR Bytes = MapDirectBuffer(Irp, &Status);
    ULONG Sum = 0, i;

    if (Bytes == NULL)
        return Status;
    for (i = 0; i < OutputLength; ++i)
        Sum += Bytes[i];
    Server->LastSum = (LONG)Sum;
    DbgPrint("ioctl_server: sum %u\n", Sum);
    return STATUS_SUCCESS;
}

static NTSTATUS FillDirect(PIRP Irp, ULONG InputLength, ULONG OutputLength)
{
    NTSTATUS Status;
    PUCHAR Bytes;

    if (InputLength == 0)
        return STATUS_INVALID_PARAMETER;
    Bytes = MapDirectBuffer(Irp, &Status);
    if (Bytes == NULL)
        return Status;
    RtlFillMemory(Bytes, OutputLength, *(PUCHAR)Irp->AssociatedIrp.SystemBuffer);
    Irp->IoStatus.Information = OutputLength;
    return STATUS_SUCCESS;
}

static NTSTATUS AddNeither(PIRP Irp, PIO_STACK_LOCATION Stack)
{
    volatile ULONG *Input = Stack->Parameters.DeviceIoControl.Type3InputBuffer;
    volatile ULONG *Output = Irp->UserBuffer;
    ULONG Value;

    if (Stack->Parameters.DeviceIoControl.InputBufferLength < sizeof(ULONG) ||
        Stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(ULONG))
        return STATUS_BUFFER_TOO_SMALL;
    __try {
        if (Irp->RequestorMode != KernelMode) {
            ProbeForRead((const void *)Input, sizeof(ULONG), sizeof(ULONG));
            ProbeForWrite((void *)Output, sizeof(ULONG), sizeof(ULONG));
        }
        Value = *Input; /* once: another thread of the caller may change it */
        *Output = Value + 1;
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return GetExceptionCode();
    }
    Irp->IoStatus.Information = sizeof(ULONG);
    return STATUS_SUCCESS;
}

static NTSTATUS LastSum(PSERVER_EXTENSION Server, PIRP Irp, ULONG OutputLength)
{
    if (OutputLength < sizeof(ULONG))
        return STATUS_BUFFER_TOO_SMALL;
    *(PULONG)Irp->AssociatedIrp.SystemBuffer = (ULONG)Server->LastSum;
    Irp->IoStatus.Information = sizeof(ULONG);
    return STATUS_SUCCESS;
}

static NTSTATUS Caller(PSERVER_EXTENSION Server, PIRP Irp, ULONG OutputLength)
{
    IOCTL_SERVER_CALLER_INFO *Info = Irp->AssociatedIrp.SystemBuffer;

    if (OutputLength < sizeof(*Info))
        return STATUS_BUFFER_TOO_SMALL;
    Info->ProcessId = (ULONG_PTR)PsGetCurrentProcessId();
    Info->RequestorMode = (unsigned int)Irp->RequestorMode;
    Info->Opens = (unsigned int)Server->Opens;
    Irp->IoStatus.Information = sizeof(*Info);
    return STATUS_SUCCESS;
}

static NTSTATUS Control(PDEVICE_OBJECT Device, PIRP Irp)
{
    PSERVER_EXTENSION Server = Device->DeviceExtension;
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    ULONG InputLength = Stack->Parameters.DeviceIoControl.InputBufferLength;
    ULONG OutputLength = Stack->Parameters.DeviceIoControl.OutputBufferLength;
    NTSTATUS Status;

    Irp->IoStatus.Information = 0;
    switch (Stack->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_SERVER_REVERSE:
        Status = Reverse(Irp, InputLength, OutputLength);
        break;
    case IOCTL_SERVER_SUM_DIRECT:
        Status = SumDirect(Server, Irp, OutputLength);
        break;
    case IOCTL_SERVER_FILL_DIRECT:
        Status = FillDirect(Irp, InputLength, OutputLength);
        break;
    case IOCTL_SERVER_ADD_NEITHER:
        Status = AddNeither(Irp, Stack);
        break;
    case IOCTL_SERVER_LAST_SUM:
        Status = LastSum(Server, Irp, OutputLength);
        break;
    case IOCTL_SERVER_CALLER:
        Status = Caller(Server, Irp, OutputLength);
        break;
    default:
        Status = STATUS_INVALID_DEVICE_REQUEST;
        break;
    }
    Irp->IoStatus.Status = Status;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static NTSTATUS CreateOrClose(PDEVICE_OBJECT Device, PIRP Irp)
{
    PSERVER_EXTENSION Server = Device->DeviceExtension;
    UCHAR Major = IoGetCurrentIrpStackLocation(Irp)->MajorFunction;

    if (Major == IRP_MJ_CREATE)
        InterlockedIncrement(&Server->Opens);
    if (Major == IRP_MJ_CLOSE)
        InterlockedDecrement(&Server->Opens);
    Irp->IoStatus.Status = STATUS_SUCCESS;
    Irp->IoStatus.Information = 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_SUCCESS;
}

static void Unload(PDRIVER_OBJECT Driver)
{
    DeleteNamedDevice(Driver->DeviceObject, &LinkName);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->DriverUnload = Unload;
    Driver->MajorFunction[IRP_MJ_CREATE] = CreateOrClose;
    Driver->MajorFunction[IRP_MJ_CLEANUP] = CreateOrClose;
    Driver->MajorFunction[IRP_MJ_CLOSE] = CreateOrClose;
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Control;
    return CreateNamedDevice(Driver, sizeof(SERVER_EXTENSION), &DeviceName, &LinkName, &Device);
}
