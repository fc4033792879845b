/* Verified: a resource is initialized a second time. */
#include <ntddk.h>

static ERESOURCE Resource;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    ExInitializeResourceLite(&Resource);
    ExInitializeResourceLite(&Resource);
    ExDeleteResourceLite(&Resource);
    return STATUS_UNSUCCESSFUL;
}
