/* Verified with deadlock detection: two locks are taken in both orders. One thread is enough to show it. */
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
    KeReleaseSpinLockFromDpcLevel(&Second);
    KeReleaseSpinLock(&First, OldIrql);
    KeAcquireSpinLock(&Second, &OldIrql);
    KeAcquireSpinLockAtDpcLevel(&First);
    KeReleaseSpinLockFromDpcLevel(&First);
    KeReleaseSpinLock(&Second, OldIrql);
    return STATUS_UNSUCCESSFUL;
}
