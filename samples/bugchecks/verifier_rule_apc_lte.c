/* Verified for DDI compliance: ObReleaseObjectSecurity at DISPATCH_LEVEL. */
#include <ntifs.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    ObReleaseObjectSecurity(NULL, FALSE);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
