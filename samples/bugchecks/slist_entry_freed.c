/* An entry is freed while it still is on its S-list; the next pop reads its link. */
#include <ntddk.h>

#define BYTES (64 * PAGE_SIZE)
#define TAG 'tslS'

static SLIST_HEADER List;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PSLIST_ENTRY Entry = ExAllocatePoolWithTag(NonPagedPoolNx, BYTES, TAG);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Entry == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    ExInitializeSListHead(&List);
    ExInterlockedPushEntrySList(&List, Entry, NULL);
    ExFreePoolWithTag(Entry, TAG);
    return ExInterlockedPopEntrySList(&List, NULL) != NULL ? STATUS_UNSUCCESSFUL : STATUS_DATA_ERROR;
}
