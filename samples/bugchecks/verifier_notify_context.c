/* Verified: ZwNotifyChangeKey with a pointer where the queue of the work item is expected. */
#include <ntifs.h>

static WORK_QUEUE_ITEM Item;
static IO_STATUS_BLOCK IoStatus;

static VOID NTAPI Changed(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Key;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    RtlInitUnicodeString(&Name, L"\\Registry\\Machine\\System");
    InitializeObjectAttributes(&Attributes, &Name, OBJ_KERNEL_HANDLE, NULL, NULL);
    if (!NT_SUCCESS(ZwOpenKey(&Key, KEY_NOTIFY, &Attributes)))
        return STATUS_UNSUCCESSFUL;
    ExInitializeWorkItem(&Item, Changed, NULL);
    ZwNotifyChangeKey(Key, NULL, (PIO_APC_ROUTINE)(ULONG_PTR)&Item, &Item, &IoStatus, REG_NOTIFY_CHANGE_LAST_SET, FALSE, NULL,
                      0, TRUE);
    ZwClose(Key);
    return STATUS_UNSUCCESSFUL;
}
