/* Verified with special pool: a block is read after it was freed. */
#include <ntddk.h>

#define TAG 'kcoB'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    volatile UCHAR *Block = ExAllocatePoolWithTag(NonPagedPoolNx, 160, TAG);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    ExFreePoolWithTag((PVOID)Block, TAG);
    return *Block != 0 ? STATUS_UNSUCCESSFUL : STATUS_DATA_ERROR;
    return STATUS_UNSUCCESSFUL;
}
