/* A common way out detaches from a process, also on the path that never attached. */
#include <ntifs.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KAPC_STATE State;
    PEPROCESS Process;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    RtlZeroMemory(&State, sizeof(State));
    Status = PsLookupProcessByProcessId((HANDLE)(ULONG_PTR)0x7FFFFFFC, &Process);
    if (NT_SUCCESS(Status))
        KeStackAttachProcess((PKPROCESS)Process, &State);
    KeUnstackDetachProcess(&State);
    return STATUS_UNSUCCESSFUL;
}
