/* A reserved mapping is freed with a tag that is not its owner's. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PVOID Reserved = MmAllocateMappingAddress(2 * PAGE_SIZE, 'enO ');

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Reserved == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    MmFreeMappingAddress(Reserved, 'owT ');
    return STATUS_SUCCESS;
}
