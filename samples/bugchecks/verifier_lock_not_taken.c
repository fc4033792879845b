/* Verified with deadlock detection: a lock that was taken and given back is released again. */
#include <ntddk.h>

static KSPIN_LOCK Lock;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeSpinLock(&Lock);
    KeAcquireSpinLock(&Lock, &OldIrql);
    KeReleaseSpinLockFromDpcLevel(&Lock);
    KeReleaseSpinLock(&Lock, OldIrql);
    return STATUS_UNSUCCESSFUL;
}
