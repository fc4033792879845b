/* A block is written to after it was freed; the next allocation of its size finds that out. */
#include <ntddk.h>

#define TAG 'kcoB'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    ULONG Index;
    UCHAR *Block = ExAllocatePoolWithTag(NonPagedPoolNx, 100, TAG);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    ExFreePoolWithTag(Block, TAG);
    Block[8] = 0x55;
    for (Index = 0; Index < 64; ++Index)
        (void)ExAllocatePoolWithTag(NonPagedPoolNx, 100, TAG);
    return STATUS_UNSUCCESSFUL;
}
