/* Verified: MmProbeAndLockProcessPages for an MDL that is locked. */
#include <ntifs.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PVOID Block = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, 'ldmB');
    PMDL Mdl = Block == NULL ? NULL : IoAllocateMdl(Block, PAGE_SIZE, FALSE, FALSE, NULL);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Mdl == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    MmProbeAndLockProcessPages(Mdl, PsGetCurrentProcess(), KernelMode, IoReadAccess);
    MmProbeAndLockProcessPages(Mdl, PsGetCurrentProcess(), KernelMode, IoReadAccess);
    return STATUS_UNSUCCESSFUL;
}
