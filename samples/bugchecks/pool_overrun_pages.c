/* A write behind an allocation of whole pages that does not fill its last page. */
#include <ntddk.h>

#define TAG 'kcoB'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UCHAR *Block = ExAllocatePoolWithTag(NonPagedPoolNx, 2 * PAGE_SIZE - 100, TAG);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    Block[2 * PAGE_SIZE - 100] = 0;
    ExFreePoolWithTag(Block, TAG);
    return STATUS_UNSUCCESSFUL;
}
