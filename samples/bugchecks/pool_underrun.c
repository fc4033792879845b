/* An index of -1: the block's own header is overwritten. */
#include <ntddk.h>

#define TAG 'kcoB'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    volatile LONG Index;
    UCHAR *Block = ExAllocatePoolWithTag(NonPagedPoolNx, 100, TAG);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    for (Index = 15; Index >= -8; --Index)
        Block[Index] = 0x41;
    ExFreePoolWithTag(Block, TAG);
    return STATUS_UNSUCCESSFUL;
}
