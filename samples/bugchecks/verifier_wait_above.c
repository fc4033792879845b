/* Verified: a wait above DISPATCH_LEVEL. */
#include <ntddk.h>

static KEVENT Event;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;
    LARGE_INTEGER Now;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeEvent(&Event, NotificationEvent, TRUE);
    Now.QuadPart = 0;
    KeRaiseIrql(DISPATCH_LEVEL + 1, &OldIrql);
    KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, &Now);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
