/* Verified: MmBuildMdlForNonPagedPool for a table in a pageable section of the driver. */
#include <ntddk.h>

__declspec(allocate("PAGEDATA")) static UCHAR Table[64] = {1};

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PMDL Mdl = IoAllocateMdl(Table, sizeof(Table), FALSE, FALSE, NULL);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    Table[0] = 1;
    if (Mdl == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    MmBuildMdlForNonPagedPool(Mdl);
    return STATUS_UNSUCCESSFUL;
}
