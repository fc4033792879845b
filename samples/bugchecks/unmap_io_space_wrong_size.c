/* Two pages of device memory are mapped, one is unmapped. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PHYSICAL_ADDRESS Registers;
    PVOID Mapping;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    Registers.QuadPart = 0xFEC00000;
    Mapping = MmMapIoSpace(Registers, 2 * PAGE_SIZE, MmNonCached);
    if (Mapping == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    MmUnmapIoSpace(Mapping, PAGE_SIZE);
    return STATUS_SUCCESS;
}
