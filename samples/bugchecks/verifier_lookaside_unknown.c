/* Verified: a lookaside list is deleted that was never initialized. */
#include <ntddk.h>

static NPAGED_LOOKASIDE_LIST List;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    ExDeleteNPagedLookasideList(&List);
    return STATUS_UNSUCCESSFUL;
}
