/* A work item's routine enters a critical region and returns without leaving it. */
#include <ntddk.h>

static KEVENT Done;

static VOID NTAPI Work(PDEVICE_OBJECT Device, PVOID Context)
{
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Context);
    KeEnterCriticalRegion();
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    PIO_WORKITEM Item;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
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
