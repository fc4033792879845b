/* Verified with special pool: a block is freed twice. */
#include <ntddk.h>

#define TAG 'kcoB'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UCHAR *Block = ExAllocatePoolWithTag(NonPagedPoolNx, 160, TAG);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    ExFreePoolWithTag(Block, TAG);
    ExFreePoolWithTag(Block, TAG);
    return STATUS_UNSUCCESSFUL;
}
