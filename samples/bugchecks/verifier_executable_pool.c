/* Verified: pool from which code could run. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PVOID Block = ExAllocatePoolWithTag(NonPagedPool, 64, 'cexE');

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block != NULL)
        ExFreePoolWithTag(Block, 'cexE');
    return STATUS_UNSUCCESSFUL;
}
