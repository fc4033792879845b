/* Each request maps its buffer, none unmaps it: no system addresses are left. */
#include <ntddk.h>

#define BYTES (2 * 1024 * 1024)
#define TAG 'aeLM'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PVOID Buffer = ExAllocatePoolWithTag(NonPagedPoolNx, BYTES, TAG);
    PMDL Mdl;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Buffer == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    Mdl = IoAllocateMdl(Buffer, BYTES, FALSE, FALSE, NULL);
    if (Mdl == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    MmProbeAndLockPages(Mdl, KernelMode, IoReadAccess);
    for (;;)
        MmMapLockedPages(Mdl, KernelMode);
}
