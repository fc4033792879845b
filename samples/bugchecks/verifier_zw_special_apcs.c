/* Verified: a Zw routine is called in a guarded region, where its completion cannot come. */
#include <ntifs.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    HANDLE Event;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeEnterGuardedRegion();
    Status = ZwCreateEvent(&Event, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE);
    KeLeaveGuardedRegion();
    return Status;
}
