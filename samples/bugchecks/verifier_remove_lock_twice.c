/* Verified: a remove lock is initialized again after the device was removed. */
#include <ntddk.h>

static IO_REMOVE_LOCK Lock;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    IoInitializeRemoveLock(&Lock, 'kcoL', 0, 0);
    IoAcquireRemoveLock(&Lock, &Lock);
    IoReleaseRemoveLockAndWait(&Lock, &Lock);
    IoInitializeRemoveLock(&Lock, 'kcoL', 0, 0);
    return STATUS_UNSUCCESSFUL;
}
