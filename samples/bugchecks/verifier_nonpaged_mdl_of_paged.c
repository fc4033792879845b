/* Verified: MmBuildMdlForNonPagedPool for a block of paged pool. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PVOID Block = ExAllocatePoolWithTag(PagedPool, PAGE_SIZE, 'ldmB');
    PMDL Mdl = Block == NULL ? NULL : IoAllocateMdl(Block, PAGE_SIZE, FALSE, FALSE, NULL);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Mdl == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    MmBuildMdlForNonPagedPool(Mdl);
    return STATUS_UNSUCCESSFUL;
}
