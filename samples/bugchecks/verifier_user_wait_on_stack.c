/* Verified: a wait in user mode for an event on the stack, which may be paged out meanwhile. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KEVENT Event;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeEvent(&Event, NotificationEvent, TRUE);
    KeWaitForSingleObject(&Event, UserRequest, UserMode, FALSE, NULL);
    return STATUS_UNSUCCESSFUL;
}
