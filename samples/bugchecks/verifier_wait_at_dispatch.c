/* Verified: a wait of a millisecond at DISPATCH_LEVEL. */
#include <ntddk.h>

static KEVENT Event;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;
    LARGE_INTEGER Moment;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    Moment.QuadPart = -10000;
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, &Moment);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
