/* Verified with I/O checking: an IRP is freed a second time. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PIRP Irp = IoAllocateIrp(1, FALSE);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Irp == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    IoFreeIrp(Irp);
    IoFreeIrp(Irp);
    return STATUS_UNSUCCESSFUL;
}
