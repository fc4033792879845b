/* Verified: KeLeaveCriticalRegion by a thread that is in none. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeLeaveCriticalRegion();
    return STATUS_UNSUCCESSFUL;
}
