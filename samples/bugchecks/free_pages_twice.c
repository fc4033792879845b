/* Two MDLs describe the same pages, and both are freed. */
#include <ntddk.h>

#define TAG 'yPoC'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PHYSICAL_ADDRESS Low, High, Skip;
    PMDL Pages, Copy;
    SIZE_T Size = sizeof(MDL) + 4 * sizeof(PFN_NUMBER);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    Low.QuadPart = 0;
    High.QuadPart = -1;
    Skip.QuadPart = 0;
    Pages = MmAllocatePagesForMdl(Low, High, Skip, 4 * PAGE_SIZE);
    Copy = ExAllocatePoolWithTag(NonPagedPoolNx, Size, TAG);
    if (Pages == NULL || Copy == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlCopyMemory(Copy, Pages, Size);
    MmFreePagesFromMdl(Pages);
    ExFreePool(Pages);
    MmFreePagesFromMdl(Copy);
    ExFreePoolWithTag(Copy, TAG);
    return STATUS_SUCCESS;
}
