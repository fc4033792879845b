/* Verified: a handle of a program is referenced as if the kernel had opened it. */
#include <ntifs.h>

NTSYSAPI NTSTATUS NTAPI PsCreateSystemProcess(PHANDLE ProcessHandle, ULONG DesiredAccess, POBJECT_ATTRIBUTES Attributes);

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    HANDLE Program, Handle;
    PEPROCESS Process;
    KAPC_STATE State;
    PVOID Object;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    Status = PsCreateSystemProcess(&Program, PROCESS_ALL_ACCESS, NULL);
    if (NT_SUCCESS(Status))
        Status = ObReferenceObjectByHandle(Program, 0, NULL, KernelMode, (PVOID *)&Process, NULL);
    if (!NT_SUCCESS(Status))
        return Status;
    KeStackAttachProcess((PVOID)Process, &State);
    Status = ZwCreateEvent(&Handle, EVENT_ALL_ACCESS, NULL, NotificationEvent, FALSE);
    if (NT_SUCCESS(Status))
        Status = ObReferenceObjectByHandle(Handle, 0, NULL, KernelMode, &Object, NULL);
    KeUnstackDetachProcess(&State);
    return Status;
}
