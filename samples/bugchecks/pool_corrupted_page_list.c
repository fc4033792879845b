/* A block that had a page of its own is written to after it was freed: the page waits for its next use, linked through it. */
#include <ntddk.h>

#define TAG 'kcoB'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    ULONG Index;
    UCHAR *Block = ExAllocatePoolWithTag(NonPagedPoolNx, 4000, TAG);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    ExFreePoolWithTag(Block, TAG);
    *(ULONG64 *)Block = 0xFFFFABCDDEAD0000;
    for (Index = 0; Index < 64; ++Index)
        (void)ExAllocatePoolWithTag(NonPagedPoolNx, 4000, TAG);
    return STATUS_UNSUCCESSFUL;
}
