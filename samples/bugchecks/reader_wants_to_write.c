/* A reader of a reader-writer spin lock takes it exclusively too: it waits for the readers to leave, and is one. */
#include <ntddk.h>

static EX_SPIN_LOCK Lock;
static LONG Count;

__attribute__((noinline)) static VOID AddOne(VOID)
{
    KIRQL OldIrql = ExAcquireSpinLockExclusive(&Lock);

    ++Count;
    ExReleaseSpinLockExclusive(&Lock, OldIrql);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    OldIrql = ExAcquireSpinLockShared(&Lock);
    if (Count == 0)
        AddOne();
    ExReleaseSpinLockShared(&Lock, OldIrql);
    return STATUS_UNSUCCESSFUL;
}
