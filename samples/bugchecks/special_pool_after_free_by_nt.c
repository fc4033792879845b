/* Verified with special pool: the kernel is given a string whose memory was freed. */
#include <ntddk.h>

#define TAG 'kcoB'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PWSTR Block = ExAllocatePoolWithTag(NonPagedPoolNx, 160, TAG);
    UNICODE_STRING Name;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(Block, 160);
    ExFreePoolWithTag(Block, TAG);
    RtlInitUnicodeString(&Name, Block);
    return Name.Length == 0 ? STATUS_UNSUCCESSFUL : STATUS_DATA_ERROR;
}
