/* Verified: nonpaged pool is asked for above DISPATCH_LEVEL, as from an interrupt service routine. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;
    PVOID Block;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeRaiseIrql(DISPATCH_LEVEL + 1, &OldIrql);
    Block = ExAllocatePoolWithTag(NonPagedPoolNx, 64, 'hgiH');
    KeLowerIrql(OldIrql);
    if (Block != NULL)
        ExFreePoolWithTag(Block, 'hgiH');
    return STATUS_UNSUCCESSFUL;
}
