/* Verified: a wait with a spin lock held. */
#include <ntddk.h>

static KSPIN_LOCK Lock;
static KEVENT Event;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeSpinLock(&Lock);
    KeInitializeEvent(&Event, NotificationEvent, TRUE);
    KeAcquireSpinLock(&Lock, &OldIrql);
    KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
    KeReleaseSpinLock(&Lock, OldIrql);
    return STATUS_UNSUCCESSFUL;
}
