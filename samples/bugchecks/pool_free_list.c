/* The links in a freed block are overwritten with the address of something else. */
#include <ntddk.h>

#define TAG 'kcoB'

static PVOID Elsewhere[4];

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    ULONG Index;
    UCHAR *Block = ExAllocatePoolWithTag(NonPagedPoolNx, 1500, TAG);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    ExFreePoolWithTag(Block, TAG);
    *(PVOID *)Block = Elsewhere;
    for (Index = 0; Index < 64; ++Index)
        (void)ExAllocatePoolWithTag(NonPagedPoolNx, 1500, TAG);
    return STATUS_UNSUCCESSFUL;
}
