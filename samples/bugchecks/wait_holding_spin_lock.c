/* A spin lock is held over a wait: the thread is at DISPATCH_LEVEL, where it cannot give up the processor. */
#include <ntddk.h>

static KSPIN_LOCK Lock;
static KEVENT Answer;

__attribute__((noinline)) static VOID AskDevice(VOID)
{
    KIRQL OldIrql;

    KeAcquireSpinLock(&Lock, &OldIrql);
    KeWaitForSingleObject(&Answer, Executive, KernelMode, FALSE, NULL);
    KeReleaseSpinLock(&Lock, OldIrql);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeSpinLock(&Lock);
    KeInitializeEvent(&Answer, NotificationEvent, FALSE);
    AskDevice();
    return STATUS_UNSUCCESSFUL;
}
