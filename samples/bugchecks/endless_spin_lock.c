/* A routine takes a spin lock that its caller holds already: the processor stays at DISPATCH_LEVEL for ever. */
#include <ntddk.h>

static KSPIN_LOCK Lock;
static ULONG Count;

__attribute__((noinline)) static VOID AddOne(VOID)
{
    KeAcquireSpinLockAtDpcLevel(&Lock);
    Count++;
    KeReleaseSpinLockFromDpcLevel(&Lock);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeSpinLock(&Lock);
    KeAcquireSpinLock(&Lock, &OldIrql);
    AddOne();
    KeReleaseSpinLock(&Lock, OldIrql);
    return STATUS_UNSUCCESSFUL;
}
