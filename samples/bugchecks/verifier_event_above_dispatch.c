/* Verified: KeSetEvent above DISPATCH_LEVEL, as from an interrupt service routine. */
#include <ntddk.h>

static KEVENT Event;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    KeRaiseIrql(DISPATCH_LEVEL + 1, &OldIrql);
    KeSetEvent(&Event, IO_NO_INCREMENT, FALSE);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
