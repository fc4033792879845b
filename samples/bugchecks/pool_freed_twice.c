/* A small block is freed twice: its header still says that it is free. */
#include <ntddk.h>

#define TAG 'kcoB'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UCHAR *Block = ExAllocatePoolWithTag(NonPagedPoolNx, 100, TAG);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    ExFreePoolWithTag(Block, TAG);
    ExFreePoolWithTag(Block, TAG);
    return STATUS_UNSUCCESSFUL;
}
