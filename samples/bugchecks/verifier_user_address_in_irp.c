/* Verified: a request of the kernel with a buffer at a user address. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    PIRP Irp;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    Status = IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status))
        return Status;
    Irp = IoAllocateIrp(Device->StackSize, FALSE);
    if (Irp != NULL) {
        IoGetNextIrpStackLocation(Irp)->MajorFunction = IRP_MJ_DEVICE_CONTROL;
        Irp->UserBuffer = (PVOID)0x10000;
        IoCallDriver(Device, Irp);
    }
    IoDeleteDevice(Device);
    return STATUS_UNSUCCESSFUL;
}
