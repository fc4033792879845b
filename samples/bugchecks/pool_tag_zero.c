/* An allocation without a tag. */
#include <ntddk.h>

static volatile ULONG Tag;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (ExAllocatePoolWithTag(NonPagedPoolNx, 100, Tag) == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    return STATUS_UNSUCCESSFUL;
}
