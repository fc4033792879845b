/* Verified: pages are mapped after MmFreePagesFromMdl by a copy of their MDL. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PHYSICAL_ADDRESS Low, High;
    PMDL Mdl, Copy = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(MDL) + sizeof(PFN_NUMBER), 'ypoC');

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Copy == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    Low.QuadPart = 0;
    High.QuadPart = -1;
    Mdl = MmAllocatePagesForMdlEx(Low, High, Low, PAGE_SIZE, MmCached, 0);
    if (Mdl == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlCopyMemory(Copy, Mdl, sizeof(MDL) + sizeof(PFN_NUMBER));
    MmFreePagesFromMdl(Mdl);
    ExFreePool(Mdl);
    MmMapLockedPagesSpecifyCache(Copy, KernelMode, MmCached, NULL, FALSE, NormalPagePriority);
    return STATUS_UNSUCCESSFUL;
}
