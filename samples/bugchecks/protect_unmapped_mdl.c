/* The protection of a mapping is changed after it has been given back behind the MDL's back. */
#include <ntddk.h>

#define TAG 'torP'

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
    MmUnmapIoSpace(Mapping, PAGE_SIZE); /* the wrong routine: the MDL still says that it is mapped */
    return MmProtectMdlSystemAddress(Mdl, PAGE_READONLY);
}
