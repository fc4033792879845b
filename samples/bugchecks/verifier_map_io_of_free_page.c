/* Verified: MmMapIoSpace for a page that was freed. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PHYSICAL_ADDRESS Low, High;
    PMDL Mdl;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    Low.QuadPart = 0;
    High.QuadPart = -1;
    Mdl = MmAllocatePagesForMdlEx(Low, High, Low, PAGE_SIZE, MmCached, 0);
    if (Mdl == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    Low.QuadPart = (LONGLONG)MmGetMdlPfnArray(Mdl)[0] * PAGE_SIZE;
    MmFreePagesFromMdl(Mdl);
    ExFreePool(Mdl);
    MmMapIoSpace(Low, PAGE_SIZE, MmCached);
    return STATUS_UNSUCCESSFUL;
}
