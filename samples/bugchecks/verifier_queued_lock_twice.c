/* Verified: a queued spin lock is taken by the processor that has it. */
#include <ntddk.h>

static KSPIN_LOCK Lock;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KLOCK_QUEUE_HANDLE First, Second;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeSpinLock(&Lock);
    KeAcquireInStackQueuedSpinLock(&Lock, &First);
    KeAcquireInStackQueuedSpinLockAtDpcLevel(&Lock, &Second);
    KeReleaseInStackQueuedSpinLockFromDpcLevel(&Second);
    KeReleaseInStackQueuedSpinLock(&First);
    return STATUS_UNSUCCESSFUL;
}
