/* An MDL is mapped whose pages were never locked. */
#include <ntddk.h>

#define TAG 'nLoN'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PVOID Buffer = ExAllocatePoolWithTag(PagedPool, PAGE_SIZE, TAG);
    PMDL Mdl;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Buffer == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    Mdl = IoAllocateMdl(Buffer, PAGE_SIZE, FALSE, FALSE, NULL);
    if (Mdl == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    if (MmGetSystemAddressForMdlSafe(Mdl, NormalPagePriority) == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    return STATUS_SUCCESS;
}
