/* Verified: a resource in a packed structure, at an odd address. */
#include <ntddk.h>

static UCHAR Extension[sizeof(ERESOURCE) + 16];

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite((PERESOURCE)(Extension + 1), TRUE);
    KeLeaveCriticalRegion();
    return STATUS_UNSUCCESSFUL;
}
