/* Verified with I/O checking: IoInitializeIrp for an IRP of IoAllocateIrp. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PIRP Irp = IoAllocateIrp(1, FALSE);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Irp == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    IoInitializeIrp(Irp, IoSizeOfIrp(1), 1);
    IoFreeIrp(Irp);
    return STATUS_UNSUCCESSFUL;
}
