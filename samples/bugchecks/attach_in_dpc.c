/* A DPC attaches to a process: it runs on somebody else's thread, whose address space is not its to change. */
#include <ntifs.h>

static KDPC Dpc;

static void AttachDpc(PKDPC Self, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    KAPC_STATE State;

    UNREFERENCED_PARAMETER(Self);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeStackAttachProcess(Context, &State);
    KeUnstackDetachProcess(&State);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeDpc(&Dpc, AttachDpc, PsInitialSystemProcess);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    KeFlushQueuedDpcs();
    return STATUS_UNSUCCESSFUL;
}
