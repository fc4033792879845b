/* A work item's routine takes a spin lock and returns with it. */
#include <ntddk.h>

static KEVENT Done;
static KSPIN_LOCK Lock;

static VOID NTAPI Work(PDEVICE_OBJECT Device, PVOID Context)
{
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Context);
    KIRQL OldIrql;

    KeAcquireSpinLock(&Lock, &OldIrql);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    PIO_WORKITEM Item;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    KeInitializeSpinLock(&Lock);
    Status = IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status))
        return Status;
    Item = IoAllocateWorkItem(Device);
    if (Item == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    IoQueueWorkItem(Item, Work, DelayedWorkQueue, Item);
    KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    IoFreeWorkItem(Item);
    return STATUS_SUCCESS;
}
