/*
 * Calls the file services as a program's system call would: in its thread, with previous mode User and whatever
 * addresses it hands over. The answer is the service's status.
 */
#include "named_device.h"
#include "nt_call.h"

NTSTATUS NTAPI NtNotifyChangeDirectoryFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                                           PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer, ULONG Length, ULONG CompletionFilter,
                                           BOOLEAN WatchTree);

NTSTATUS NTAPI NtQueryEaFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer, ULONG Length,
                             BOOLEAN ReturnSingleEntry, PVOID EaList, ULONG EaListLength, PULONG EaIndex, BOOLEAN RestartScan);
NTSTATUS NTAPI NtSetEaFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer, ULONG Length);

typedef NTSTATUS(NTAPI *SERVICE)(ULONG64, ULONG64, ULONG64, ULONG64, ULONG64, ULONG64, ULONG64, ULONG64, ULONG64, ULONG64, ULONG64);

static UNICODE_STRING DeviceName = RTL_CONSTANT_STRING(L"\\Device\\NtCall");
static UNICODE_STRING LinkName = RTL_CONSTANT_STRING(L"\\DosDevices\\NtCall");

static const SERVICE Services[kServices] = {
    (SERVICE)(PVOID)NtQueryInformationFile,       (SERVICE)(PVOID)NtSetInformationFile,
    (SERVICE)(PVOID)NtQueryDirectoryFile,         (SERVICE)(PVOID)NtQueryVolumeInformationFile,
    (SERVICE)(PVOID)NtSetVolumeInformationFile,   (SERVICE)(PVOID)NtQueryEaFile,
    (SERVICE)(PVOID)NtSetEaFile,                  (SERVICE)(PVOID)NtFsControlFile,
    (SERVICE)(PVOID)NtNotifyChangeDirectoryFile,  (SERVICE)(PVOID)NtLockFile,
    (SERVICE)(PVOID)NtUnlockFile,                 (SERVICE)(PVOID)NtReadFile,
    (SERVICE)(PVOID)NtWriteFile,
};

static NTSTATUS Complete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static NTSTATUS NTAPI Succeed(PDEVICE_OBJECT Device, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Device);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static NTSTATUS NTAPI Control(PDEVICE_OBJECT Device, PIRP Irp)
{
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    const unsigned long long *A;
    NtCall Call;

    UNREFERENCED_PARAMETER(Device);
    if (Stack->Parameters.DeviceIoControl.IoControlCode != NT_CALL_CODE ||
        Stack->Parameters.DeviceIoControl.InputBufferLength != sizeof(NtCall) ||
        Stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(NTSTATUS) || ExGetPreviousMode() != UserMode)
        return Complete(Irp, STATUS_INVALID_PARAMETER, 0);
    Call = *(NtCall *)Irp->AssociatedIrp.SystemBuffer;
    if (Call.service >= kServices)
        return Complete(Irp, STATUS_INVALID_PARAMETER, 0);
    A = Call.arguments;
    *(NTSTATUS *)Irp->AssociatedIrp.SystemBuffer =
        Services[Call.service](A[0], A[1], A[2], A[3], A[4], A[5], A[6], A[7], A[8], A[9], A[10]);
    return Complete(Irp, STATUS_SUCCESS, sizeof(NTSTATUS));
}

static VOID NTAPI Unload(PDRIVER_OBJECT Driver)
{
    DeleteNamedDevice(Driver->DeviceObject, &LinkName);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->MajorFunction[IRP_MJ_CREATE] = Succeed;
    Driver->MajorFunction[IRP_MJ_CLOSE] = Succeed;
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = Control;
    Driver->DriverUnload = Unload;
    Status = CreateNamedDevice(Driver, 0, &DeviceName, &LinkName, &Device);
    if (NT_SUCCESS(Status))
        Device->Flags &= ~DO_DEVICE_INITIALIZING;
    return Status;
}
