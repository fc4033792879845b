/* Verified: a work item in paged pool. */
#include <ntddk.h>

static VOID NTAPI Work(PVOID Context)
{
    ExFreePoolWithTag(Context, 'metI');
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PWORK_QUEUE_ITEM Item = ExAllocatePoolWithTag(PagedPool, sizeof(*Item), 'metI');

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Item == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    ExInitializeWorkItem(Item, Work, Item);
    ExQueueWorkItem(Item, DelayedWorkQueue);
    return STATUS_UNSUCCESSFUL;
}
