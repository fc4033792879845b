/* Pages of a program are locked for a transfer, and the program ends before they are unlocked. */
#include <ntifs.h>

NTSYSAPI NTSTATUS NTAPI PsCreateSystemProcess(PHANDLE ProcessHandle, ULONG DesiredAccess, POBJECT_ATTRIBUTES Attributes);
NTSYSAPI NTSTATUS NTAPI ZwTerminateProcess(HANDLE ProcessHandle, NTSTATUS ExitStatus);

static NTSTATUS LockBuffer(HANDLE Program, PVOID Buffer, SIZE_T Bytes)
{
    PEPROCESS Process;
    PMDL Mdl = IoAllocateMdl(Buffer, (ULONG)Bytes, FALSE, FALSE, NULL);
    NTSTATUS Status;

    if (Mdl == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    Status = ObReferenceObjectByHandle(Program, 0, NULL, KernelMode, (PVOID *)&Process, NULL);
    if (!NT_SUCCESS(Status))
        return Status;
    MmProbeAndLockProcessPages(Mdl, (PEPROCESS)Process, UserMode, IoWriteAccess);
    ObDereferenceObject(Process);
    return STATUS_SUCCESS;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    HANDLE Program;
    PVOID Buffer = NULL;
    SIZE_T Bytes = 3 * PAGE_SIZE;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    Status = PsCreateSystemProcess(&Program, PROCESS_ALL_ACCESS, NULL);
    if (!NT_SUCCESS(Status))
        return Status;
    Status = ZwAllocateVirtualMemory(Program, &Buffer, 0, &Bytes, MEM_COMMIT, PAGE_READWRITE);
    if (!NT_SUCCESS(Status))
        return Status;
    Status = LockBuffer(Program, Buffer, Bytes);
    if (!NT_SUCCESS(Status))
        return Status;
    return ZwTerminateProcess(Program, STATUS_SUCCESS);
}
