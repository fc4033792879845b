/* Verified: a fast mutex is asked for at DISPATCH_LEVEL. */
#include <ntddk.h>

static FAST_MUTEX Mutex;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    ExInitializeFastMutex(&Mutex);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    ExAcquireFastMutex(&Mutex);
    ExReleaseFastMutex(&Mutex);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
