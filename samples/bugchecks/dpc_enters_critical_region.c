/* A DPC enters a critical region, which belongs to whatever thread it happens to interrupt, and does not leave it. */
#include <ntddk.h>

static KDPC Dpc;

static VOID Enter(PKDPC Object, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    UNREFERENCED_PARAMETER(Object);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeEnterCriticalRegion();
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeDpc(&Dpc, Enter, NULL);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    return STATUS_UNSUCCESSFUL;
}
