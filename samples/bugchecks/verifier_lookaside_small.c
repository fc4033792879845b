/* Verified: a lookaside list whose blocks are smaller than the link that they need. */
#include <ntddk.h>

static NPAGED_LOOKASIDE_LIST List;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    ExInitializeNPagedLookasideList(&List, NULL, NULL, 0, sizeof(ULONG), 'tsiL', 0);
    ExDeleteNPagedLookasideList(&List);
    return STATUS_UNSUCCESSFUL;
}
