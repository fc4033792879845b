/* A push lock is taken with a flag that does not exist: the arguments were meant for another routine. */
#include <ntifs.h>

static EX_PUSH_LOCK Lock;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    ExInitializePushLock(&Lock);
    KeEnterCriticalRegion();
    ExAcquirePushLockExclusiveEx(&Lock, 0x100);
    ExReleasePushLockExclusiveEx(&Lock, 0x100);
    KeLeaveCriticalRegion();
    return STATUS_SUCCESS;
}
