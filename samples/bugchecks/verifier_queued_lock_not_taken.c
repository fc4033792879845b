/* Verified: a queued spin lock is released a second time. */
#include <ntddk.h>

static KSPIN_LOCK Lock;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KLOCK_QUEUE_HANDLE Handle, Copy;
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeSpinLock(&Lock);
    KeAcquireInStackQueuedSpinLock(&Lock, &Handle);
    Copy = Handle;
    KeReleaseInStackQueuedSpinLock(&Handle);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    KeReleaseInStackQueuedSpinLock(&Copy);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
