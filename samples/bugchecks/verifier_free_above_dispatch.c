/* Verified: nonpaged pool is freed above DISPATCH_LEVEL. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PVOID Block = ExAllocatePoolWithTag(NonPagedPoolNx, 64, 'hgiH');
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    KeRaiseIrql(DISPATCH_LEVEL + 1, &OldIrql);
    ExFreePoolWithTag(Block, 'hgiH');
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
