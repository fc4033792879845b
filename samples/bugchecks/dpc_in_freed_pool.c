/* A device's memory is freed while its DPC is queued. Driver Verifier looks for that at every free. */
#include <ntddk.h>

#define TAG 'cpDT'

typedef struct {
    ULONG State;
    KDPC Dpc;
} DEVICE;

static VOID Nothing(PKDPC Object, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    UNREFERENCED_PARAMETER(Object);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    DEVICE *Device = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*Device), TAG);
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Device == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    KeInitializeDpc(&Device->Dpc, Nothing, NULL);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    KeInsertQueueDpc(&Device->Dpc, NULL, NULL);
    ExFreePoolWithTag(Device, TAG);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
