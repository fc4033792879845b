/* A DPC follows a pointer that was overwritten with text: not even an address. No thread's handler is above a DPC. */
#include <ntddk.h>

static KDPC Dpc;
static union {
    char Text[8];
    volatile LONG *Pointer;
} Device = {"pointer"};

static KDEFERRED_ROUTINE OnDpc;
static VOID NTAPI OnDpc(PKDPC Unused, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    UNREFERENCED_PARAMETER(Unused);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    InterlockedIncrement(Device.Pointer);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeDpc(&Dpc, OnDpc, NULL);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    for (;;) {
        YieldProcessor();
    }
}
