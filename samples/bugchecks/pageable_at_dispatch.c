/* A routine in a PAGE section is called while a spin lock is held: the instruction fetch itself faults at DISPATCH_LEVEL. */
#include <ntddk.h>

static KSPIN_LOCK Lock;
static volatile LONG Calls;

__declspec(code_seg("PAGE")) __attribute__((noinline)) static void PageableRoutine(void)
{
    InterlockedIncrement(&Calls);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeSpinLock(&Lock);
    KeAcquireSpinLock(&Lock, &OldIrql);
    PageableRoutine();
    KeReleaseSpinLock(&Lock, OldIrql);
    return STATUS_UNSUCCESSFUL;
}
