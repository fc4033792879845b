/* A semaphore is released past its limit: the routine raises STATUS_SEMAPHORE_LIMIT_EXCEEDED, which nobody handles. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KSEMAPHORE FreeSlots;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeSemaphore(&FreeSlots, 4, 4);
    KeReleaseSemaphore(&FreeSlots, 0, 1, FALSE);
    return STATUS_UNSUCCESSFUL;
}
