/* A fast mutex is taken while a spin lock is held. */
#include <ntddk.h>

static KSPIN_LOCK Lock;
static FAST_MUTEX Mutex;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeSpinLock(&Lock);
    ExInitializeFastMutex(&Mutex);
    KeAcquireSpinLock(&Lock, &OldIrql);
    ExAcquireFastMutex(&Mutex);
    ExReleaseFastMutex(&Mutex);
    KeReleaseSpinLock(&Lock, OldIrql);
    return STATUS_SUCCESS;
}
