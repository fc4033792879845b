/* Says at which IRQL a threaded DPC runs, then writes settings for the next boot: a DPC may take 2 s, threaded DPCs are
 * ordinary ones. */
#include <ntddk.h>

static KEVENT Done;
static KIRQL Irql;

static VOID Look(PKDPC Object, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    UNREFERENCED_PARAMETER(Object);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    Irql = KeGetCurrentIrql();
    KeSetEvent(&Done, IO_NO_INCREMENT, FALSE);
}

static NTSTATUS SetValue(HANDLE Key, PCWSTR Text, ULONG Value)
{
    UNICODE_STRING Name;

    RtlInitUnicodeString(&Name, Text);
    return ZwSetValueKey(Key, &Name, 0, REG_DWORD, &Value, sizeof(Value));
}

static NTSTATUS WriteSettings(void)
{
    static const PCWSTR Path[] = {L"\\Registry\\Machine\\System\\CurrentControlSet\\Control",
                                  L"\\Registry\\Machine\\System\\CurrentControlSet\\Control\\Session Manager",
                                  L"\\Registry\\Machine\\System\\CurrentControlSet\\Control\\Session Manager\\Kernel"};
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Name;
    HANDLE Key = NULL;
    NTSTATUS Status = STATUS_SUCCESS;
    ULONG i;

    for (i = 0; i < ARRAYSIZE(Path) && NT_SUCCESS(Status); i++) {
        if (Key != NULL)
            ZwClose(Key);
        RtlInitUnicodeString(&Name, Path[i]);
        InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
        Status = ZwCreateKey(&Key, KEY_ALL_ACCESS, &Attributes, 0, NULL, REG_OPTION_NON_VOLATILE, NULL);
    }
    if (NT_SUCCESS(Status))
        Status = SetValue(Key, L"DpcTimeout", 2000);
    if (NT_SUCCESS(Status))
        Status = SetValue(Key, L"ThreadDpcEnable", 0);
    if (NT_SUCCESS(Status))
        Status = ZwFlushKey(Key);
    if (Key != NULL)
        ZwClose(Key);
    return Status;
}

static VOID Unload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KDPC Dpc;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->DriverUnload = Unload;
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    KeInitializeThreadedDpc(&Dpc, Look, NULL);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    KeFlushQueuedDpcs();
    DbgPrint("threaded DPC at IRQL %u\n", (ULONG)Irql);
    return WriteSettings();
}
