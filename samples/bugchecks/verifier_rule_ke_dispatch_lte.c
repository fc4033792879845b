/* Verified for DDI compliance: KeResetEvent above DISPATCH_LEVEL. */
#include <ntddk.h>

static KEVENT Event;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeRaiseIrql(DISPATCH_LEVEL + 1, &OldIrql);
    KeResetEvent(&Event);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
