/* DriverEntry never returns: it waits for a device that never answers. Somebody loses patience and holds the power button. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KEVENT Answered;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeEvent(&Answered, NotificationEvent, FALSE);
    return KeWaitForSingleObject(&Answered, Executive, KernelMode, FALSE, NULL);
}
