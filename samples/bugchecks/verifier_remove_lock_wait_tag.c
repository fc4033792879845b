/* Verified: IoReleaseRemoveLockAndWait with another tag than the lock was acquired with. */
#include <ntddk.h>

static IO_REMOVE_LOCK Lock;
static ULONG First, Second;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    IoInitializeRemoveLock(&Lock, 'kcoL', 0, 0);
    IoAcquireRemoveLock(&Lock, &First);
    IoReleaseRemoveLockAndWait(&Lock, &Second);
    return STATUS_UNSUCCESSFUL;
}
