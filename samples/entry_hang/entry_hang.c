/* A driver whose DriverEntry never returns. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KEVENT Never;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeEvent(&Never, NotificationEvent, FALSE);
    return KeWaitForSingleObject(&Never, Executive, KernelMode, FALSE, NULL);
}
