/* Verified with special pool: the first byte behind a block faults. */
#include <ntddk.h>

#define TAG 'kcoB'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    volatile ULONG Index;
    UCHAR *Block = ExAllocatePoolWithTag(NonPagedPoolNx, 160, TAG);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    for (Index = 0; Index <= 160; ++Index)
        Block[Index] = 1;
    return STATUS_UNSUCCESSFUL;
}
