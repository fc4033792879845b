/*
 * The dispatch routine for IRP_MJ_CREATE forgets that a file without a name has no buffer for it. Its caller guards the
 * ZwCreateFile with __try, in vain: an exception does not leave a system service.
 */
#include <ntddk.h>

static UNICODE_STRING DeviceName = RTL_CONSTANT_STRING(L"\\Device\\ExceptionInDispatchRoutine");

static NTSTATUS OnCreate(PDEVICE_OBJECT Device, PIRP Irp)
{
    WCHAR First = IoGetCurrentIrpStackLocation(Irp)->FileObject->FileName.Buffer[0];

    UNREFERENCED_PARAMETER(Device);
    Irp->IoStatus.Status = First == L'\\' ? STATUS_SUCCESS : STATUS_OBJECT_NAME_INVALID;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_SUCCESS;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    OBJECT_ATTRIBUTES Attributes;
    PDEVICE_OBJECT Device;
    IO_STATUS_BLOCK IoStatus;
    HANDLE File;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->MajorFunction[IRP_MJ_CREATE] = OnCreate;
    if (!NT_SUCCESS(IoCreateDevice(Driver, 0, &DeviceName, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device)))
        return STATUS_INSUFFICIENT_RESOURCES;
    InitializeObjectAttributes(&Attributes, &DeviceName, OBJ_KERNEL_HANDLE, NULL, NULL);
    Device->Flags &= ~DO_DEVICE_INITIALIZING;
    __try {
        ZwCreateFile(&File, GENERIC_READ | SYNCHRONIZE, &Attributes, &IoStatus, NULL, 0, FILE_SHARE_READ, FILE_OPEN,
                     FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        DbgPrint("caught\n");
    }
    IoDeleteDevice(Device);
    return STATUS_UNSUCCESSFUL;
}
