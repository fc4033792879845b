/* Verified with special pool: a write between a block's end and its page's; the free finds it. */
#include <ntddk.h>

#define TAG 'kcoB'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UCHAR *Block = ExAllocatePoolWithTag(NonPagedPoolNx, 100, TAG);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    Block[101] = 0;
    ExFreePoolWithTag(Block, TAG);
    return STATUS_UNSUCCESSFUL;
}
