/* A string is one terminator too long for its block: the next block's header is hit. */
#include <ntddk.h>

#define TAG 'kcoB'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    ULONG Index;
    UCHAR *Block = ExAllocatePoolWithTag(NonPagedPoolNx, 96, TAG);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    for (Index = 0; Index <= 96; ++Index)
        Block[Index] = 'x';
    ExFreePoolWithTag(Block, TAG);
    return STATUS_UNSUCCESSFUL;
}
