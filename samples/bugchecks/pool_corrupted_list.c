/* Plain data is written over the links of a freed block: the pool follows them into nowhere. */
#include <ntddk.h>

#define TAG 'kcoB'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    ULONG Index;
    UCHAR *Block = ExAllocatePoolWithTag(NonPagedPoolNx, 1500, TAG);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    ExFreePoolWithTag(Block, TAG);
    *(ULONG64 *)Block = 0xFFFFABCDDEAD0000;
    for (Index = 0; Index < 64; ++Index)
        (void)ExAllocatePoolWithTag(NonPagedPoolNx, 1500, TAG);
    return STATUS_UNSUCCESSFUL;
}
