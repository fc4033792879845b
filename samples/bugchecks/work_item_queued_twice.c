/* A work item is queued again before its routine has begun. */
#include <ntddk.h>

static WORK_QUEUE_ITEM Item;

static VOID NTAPI Work(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    ExInitializeWorkItem(&Item, Work, NULL);
    /* At DISPATCH_LEVEL on the only processor no worker gets it in between. */
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    ExQueueWorkItem(&Item, BackgroundWorkQueue);
    ExQueueWorkItem(&Item, BackgroundWorkQueue);
    KeLowerIrql(OldIrql);
    return STATUS_SUCCESS;
}
