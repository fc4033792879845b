/* Pages of a program are unlocked twice. */
#include <ntifs.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PVOID Buffer = NULL;
    SIZE_T Bytes = 2 * PAGE_SIZE;
    NTSTATUS Status;
    PMDL Mdl;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    Status = ZwAllocateVirtualMemory(ZwCurrentProcess(), &Buffer, 0, &Bytes, MEM_COMMIT, PAGE_READWRITE);
    if (!NT_SUCCESS(Status))
        return Status;
    Mdl = IoAllocateMdl(Buffer, (ULONG)Bytes, FALSE, FALSE, NULL);
    if (Mdl == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    MmProbeAndLockPages(Mdl, UserMode, IoWriteAccess);
    MmUnlockPages(Mdl);
    MmUnlockPages(Mdl);
    return STATUS_SUCCESS;
}
