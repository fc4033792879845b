/* Verified: a lookaside list is initialized a second time. */
#include <ntddk.h>

static NPAGED_LOOKASIDE_LIST List;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    ExInitializeNPagedLookasideList(&List, NULL, NULL, 0, 64, 'tsiL', 0);
    ExInitializeNPagedLookasideList(&List, NULL, NULL, 0, 64, 'tsiL', 0);
    ExDeleteNPagedLookasideList(&List);
    return STATUS_UNSUCCESSFUL;
}
