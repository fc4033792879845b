/* Verified: the pages of an MDL are made executable. */
#include <ntddk.h>

#define NO_EXECUTE 0x40000000 /* MdlMappingNoExecute */

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PVOID Block = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, 'ldmB');
    PMDL Mdl = Block == NULL ? NULL : IoAllocateMdl(Block, PAGE_SIZE, FALSE, FALSE, NULL);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Mdl == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    MmProbeAndLockPages(Mdl, KernelMode, IoReadAccess);
    if (MmMapLockedPagesSpecifyCache(Mdl, KernelMode, MmCached, NULL, FALSE, NormalPagePriority | NO_EXECUTE) != NULL)
        MmProtectMdlSystemAddress(Mdl, PAGE_EXECUTE_READWRITE);
    return STATUS_UNSUCCESSFUL;
}
