/* Verified with special pool: the kernel initializes an event of which the block holds the first half. */
#include <ntddk.h>

#define TAG 'kcoB'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UCHAR *Block = ExAllocatePoolWithTag(NonPagedPoolNx, 16, TAG);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    KeInitializeEvent((PRKEVENT)Block, NotificationEvent, FALSE);
    return STATUS_UNSUCCESSFUL;
}
