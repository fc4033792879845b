/* A __try does not help where the IRQL forbids the fault: a user address is read at DISPATCH_LEVEL. */
#include <ntddk.h>

static volatile LONG Value;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KSPIN_LOCK Lock;
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeSpinLock(&Lock);
    KeAcquireSpinLock(&Lock, &OldIrql);
    __try {
        Value = *(volatile LONG *)0x10000;
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Value = -1;
    }
    KeReleaseSpinLock(&Lock, OldIrql);
    return STATUS_UNSUCCESSFUL;
}
