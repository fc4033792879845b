/* An event's reference is given back twice while a spin lock is held: the second time nobody has one any more. */
#include <ntifs.h>

static KSPIN_LOCK Lock;

static NTSTATUS OpenEvent(PVOID *Event)
{
    HANDLE Handle;
    NTSTATUS Status = ZwCreateEvent(&Handle, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE);

    if (!NT_SUCCESS(Status))
        return Status;
    Status = ObReferenceObjectByHandle(Handle, EVENT_ALL_ACCESS, *ExEventObjectType, KernelMode, Event, NULL);
    ZwClose(Handle);
    return Status;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PVOID Event;
    KIRQL OldIrql;
    NTSTATUS Status = OpenEvent(&Event);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (!NT_SUCCESS(Status))
        return Status;
    KeInitializeSpinLock(&Lock);
    KeAcquireSpinLock(&Lock, &OldIrql);
    ObDereferenceObject(Event); /* the last one: a worker will delete the event */
    ObDereferenceObject(Event);
    KeReleaseSpinLock(&Lock, OldIrql);
    return STATUS_UNSUCCESSFUL;
}
