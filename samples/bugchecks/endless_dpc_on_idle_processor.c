/* A DPC that never ends, on a processor that has nothing else to do, while the driver waits for it. */
#include <ntddk.h>

static KDPC Dpc;
static KEVENT Done;
static volatile LONG DeviceReady;

static VOID PollDevice(PKDPC Object, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    UNREFERENCED_PARAMETER(Object);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    while (!DeviceReady)
        ;
    KeSetEvent(&Done, IO_NO_INCREMENT, FALSE);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeEvent(&Done, NotificationEvent, FALSE);
    KeInitializeDpc(&Dpc, PollDevice, NULL);
    KeSetTargetProcessorDpc(&Dpc, (CCHAR)((KeGetCurrentProcessorNumberEx(NULL) + 1) % KeQueryActiveProcessorCount(NULL)));
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    KeWaitForSingleObject(&Done, Executive, KernelMode, FALSE, NULL);
    return STATUS_UNSUCCESSFUL;
}
