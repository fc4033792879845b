/* Verified: a block is freed with a lookaside list in it that is in use. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PNPAGED_LOOKASIDE_LIST List = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*List), 'daeH');

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (List == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    ExInitializeNPagedLookasideList(List, NULL, NULL, 0, 64, 'tsiL', 0);
    ExFreePoolWithTag(List, 'daeH');
    return STATUS_UNSUCCESSFUL;
}
