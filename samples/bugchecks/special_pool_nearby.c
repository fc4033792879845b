/* Verified with special pool: bytes in front of a block are written; the free finds them. */
#include <ntddk.h>

#define TAG 'kcoB'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    volatile LONG Index;
    UCHAR *Block = ExAllocatePoolWithTag(NonPagedPoolNx, 160, TAG);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    for (Index = -20; Index < 4; ++Index)
        Block[Index] = 0x33;
    ExFreePoolWithTag(Block, TAG);
    return STATUS_UNSUCCESSFUL;
}
