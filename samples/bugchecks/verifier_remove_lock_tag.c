/* Verified: a remove lock is released with another tag than it was acquired with. */
#include <ntddk.h>

static IO_REMOVE_LOCK Lock;
static ULONG First, Second;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    IoInitializeRemoveLock(&Lock, 'kcoL', 0, 0);
    IoAcquireRemoveLock(&Lock, &First);
    IoReleaseRemoveLock(&Lock, &Second);
    return STATUS_UNSUCCESSFUL;
}
