/* Verified with deadlock detection: memory is freed while the lock in it is held. */
#include <ntddk.h>

#define TAG 'kcoB'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PKSPIN_LOCK Block = ExAllocatePoolWithTag(NonPagedPoolNx, 64, TAG);
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    KeInitializeSpinLock(Block);
    KeAcquireSpinLock(Block, &OldIrql);
    ExFreePoolWithTag(Block, TAG);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
