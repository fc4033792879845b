/* Verified for DDI compliance: KeQueryActiveProcessors at DISPATCH_LEVEL. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    KeQueryActiveProcessors();
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
