/* A spin lock lies in a pageable data section: it is paged out when the lock is taken, at DISPATCH_LEVEL by then. */
#include <ntddk.h>

__attribute__((section("PAGEDATA"))) static KSPIN_LOCK Lock = 0;
static LONG Count;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeAcquireSpinLock(&Lock, &OldIrql);
    ++Count;
    KeReleaseSpinLock(&Lock, OldIrql);
    return STATUS_UNSUCCESSFUL;
}
