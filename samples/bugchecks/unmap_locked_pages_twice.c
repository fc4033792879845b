/* A mapping is given back twice. */
#include <ntddk.h>

#define TAG 'mnuT'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PVOID Buffer = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, TAG);
    PMDL Mdl;
    PVOID Mapping;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Buffer == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    Mdl = IoAllocateMdl(Buffer, PAGE_SIZE, FALSE, FALSE, NULL);
    if (Mdl == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    MmProbeAndLockPages(Mdl, KernelMode, IoReadAccess);
    Mapping = MmGetSystemAddressForMdlSafe(Mdl, NormalPagePriority);
    if (Mapping == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    MmUnmapLockedPages(Mapping, Mdl);
    MmUnmapLockedPages(Mapping, Mdl);
    return STATUS_SUCCESS;
}
