/* DriverEntry returns with a spin lock held: the caller finds itself at DISPATCH_LEVEL. */
#include <ntddk.h>

static KSPIN_LOCK Lock;
static KIRQL OldIrql;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeSpinLock(&Lock);
    KeAcquireSpinLock(&Lock, &OldIrql);
    return STATUS_SUCCESS;
}
