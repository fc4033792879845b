/* Pages are freed while a transfer that locked them is still on its way. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PHYSICAL_ADDRESS Low, High, Skip;
    PMDL Pages, Transfer;
    PVOID Mapping;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    Low.QuadPart = 0;
    High.QuadPart = -1;
    Skip.QuadPart = 0;
    Pages = MmAllocatePagesForMdl(Low, High, Skip, 2 * PAGE_SIZE);
    if (Pages == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    Mapping = MmGetSystemAddressForMdlSafe(Pages, NormalPagePriority);
    if (Mapping == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    Transfer = IoAllocateMdl(Mapping, PAGE_SIZE, FALSE, FALSE, NULL);
    if (Transfer == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    MmProbeAndLockPages(Transfer, KernelMode, IoWriteAccess);
    MmUnmapLockedPages(Mapping, Pages);
    MmFreePagesFromMdl(Pages); /* Transfer has not been unlocked */
    ExFreePool(Pages);
    return STATUS_SUCCESS;
}
