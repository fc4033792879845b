/* Verified: a resource is deleted that was never initialized. */
#include <ntddk.h>

static ERESOURCE Resource;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    ExDeleteResourceLite(&Resource);
    return STATUS_UNSUCCESSFUL;
}
