/* Verified: KeAcquireSpinLock above DISPATCH_LEVEL. */
#include <ntddk.h>

static KSPIN_LOCK Lock;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql, Inner;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeSpinLock(&Lock);
    KeRaiseIrql(DISPATCH_LEVEL + 1, &OldIrql);
    KeAcquireSpinLock(&Lock, &Inner);
    KeReleaseSpinLock(&Lock, Inner);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
