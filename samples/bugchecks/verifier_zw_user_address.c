/* Verified: a Zw routine is to put a handle at a user address. */
#include <ntifs.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    ZwCreateEvent((PHANDLE)0x10000, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE);
    return STATUS_UNSUCCESSFUL;
}
