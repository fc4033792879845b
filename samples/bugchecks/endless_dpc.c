/* A DPC waits for a flag that only a thread of the same processor could set: it never ends. */
#include <ntddk.h>

static KDPC Dpc;
static volatile LONG DeviceReady;

static VOID PollDevice(PKDPC Object, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    UNREFERENCED_PARAMETER(Object);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    while (!DeviceReady)
        ;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeDpc(&Dpc, PollDevice, NULL);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    DeviceReady = TRUE;
    return STATUS_UNSUCCESSFUL;
}
