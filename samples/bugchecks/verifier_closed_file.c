/* Verified with I/O checking: a create request with a file object that was closed. */
#include <ntifs.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    NTSTATUS Status;
    PFILE_OBJECT File;
    PIRP Irp;

    UNREFERENCED_PARAMETER(RegistryPath);
    Status = IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status))
        return Status;
    File = IoCreateStreamFileObject(NULL, Device);
    Irp = IoAllocateIrp(Device->StackSize, FALSE);
    if (File == NULL || Irp == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    File->Flags |= FO_CLEANUP_COMPLETE;
    IoGetNextIrpStackLocation(Irp)->MajorFunction = IRP_MJ_CREATE;
    IoGetNextIrpStackLocation(Irp)->FileObject = File;
    IoCallDriver(Device, Irp);
    return STATUS_UNSUCCESSFUL;
}
