/* A write behind the bytes that were asked for, yet inside the block. */
#include <ntddk.h>

#define TAG 'kcoB'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    ULONG Index;
    UCHAR *Block = ExAllocatePoolWithTag(NonPagedPoolNx, 90, TAG);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    for (Index = 0; Index <= 90; ++Index)
        Block[Index] = 'x';
    ExFreePoolWithTag(Block, TAG);
    return STATUS_UNSUCCESSFUL;
}
