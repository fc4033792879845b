/* The same with an in-stack queued lock: the second handle queues behind the first, which waits for the second. */
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
