/* A constant is patched in place: read-only sections of a driver are read-only. */
#include <ntddk.h>

static const volatile char Version[] = "version 1.0";

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    ((volatile char *)Version)[8] = '2';
    return Version[8] == '2' ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}
