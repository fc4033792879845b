/* Verified with pool tracking: the driver is unloaded without freeing its two blocks. */
#include <ntddk.h>

#define TAG 'kaeL'

static VOID Unload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->DriverUnload = Unload;
    if (ExAllocatePoolWithTag(NonPagedPoolNx, 100, TAG) == NULL || ExAllocatePoolWithTag(PagedPool, 5000, TAG) == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    return STATUS_SUCCESS;
}
