/* Verified: an allocation of no bytes. */
#include <ntddk.h>

#define TAG 'kcoB'

static volatile SIZE_T Bytes;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (ExAllocatePoolWithTag(NonPagedPoolNx, Bytes, TAG) == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    return STATUS_UNSUCCESSFUL;
}
