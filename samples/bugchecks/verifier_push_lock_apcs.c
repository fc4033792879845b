/* Verified: a push lock is acquired with APCs on. */
#include <ntddk.h>

NTKERNELAPI VOID FASTCALL ExAcquirePushLockExclusiveEx(PULONG_PTR PushLock, ULONG Flags);
NTKERNELAPI VOID FASTCALL ExReleasePushLockExclusiveEx(PULONG_PTR PushLock, ULONG Flags);

static ULONG_PTR Lock;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    ExAcquirePushLockExclusiveEx(&Lock, 0);
    ExReleasePushLockExclusiveEx(&Lock, 0);
    return STATUS_UNSUCCESSFUL;
}
