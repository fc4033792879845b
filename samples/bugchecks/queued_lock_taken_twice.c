/* A routine takes an in-stack queued lock that its caller holds: its handle queues behind the caller's, for ever. */
#include <ntddk.h>

static KSPIN_LOCK Lock;
static LONG Count;

__attribute__((noinline)) static VOID AddOne(VOID)
{
    KLOCK_QUEUE_HANDLE Handle;

    KeAcquireInStackQueuedSpinLock(&Lock, &Handle);
    ++Count;
    KeReleaseInStackQueuedSpinLock(&Handle);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KLOCK_QUEUE_HANDLE Handle;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeSpinLock(&Lock);
    KeAcquireInStackQueuedSpinLock(&Lock, &Handle);
    AddOne();
    KeReleaseInStackQueuedSpinLock(&Handle);
    return STATUS_UNSUCCESSFUL;
}
