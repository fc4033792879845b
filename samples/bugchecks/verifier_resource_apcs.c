/* Verified: a resource is acquired with normal kernel APCs enabled. */
#include <ntddk.h>

static ERESOURCE Resource;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    ExInitializeResourceLite(&Resource);
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    ExReleaseResourceLite(&Resource);
    ExDeleteResourceLite(&Resource);
    return STATUS_UNSUCCESSFUL;
}
