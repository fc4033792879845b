/* Verified: ExFreePool for an IRP. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PIRP Irp = IoAllocateIrp(1, FALSE);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Irp != NULL)
        ExFreePool(Irp);
    return STATUS_UNSUCCESSFUL;
}
