/* A DPC switches the interrupts of its processor off and waits for a device that will never answer. */
#include <ntddk.h>

static KDPC Dpc;
static volatile LONG DeviceReady;

static VOID PollDevice(PKDPC Object, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    UNREFERENCED_PARAMETER(Object);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    __asm__ volatile("cli");
    while (!DeviceReady)
        ;
    __asm__ volatile("sti");
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeDpc(&Dpc, PollDevice, NULL);
    KeSetTargetProcessorDpc(&Dpc, 1);
    KeSetImportanceDpc(&Dpc, HighImportance);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    for (;;)
        YieldProcessor();
}
