/*
 * An entry is taken out of a list that it has left already. RemoveEntryList looks at the neighbours first, as the WDK's
 * does (mingw-w64's does not), and fails fast.
 */
#include <ntddk.h>

#define FAST_FAIL_CORRUPT_LIST_ENTRY 3

static LIST_ENTRY Head;
static LIST_ENTRY Entries[3];

__attribute__((noinline)) static void RemoveChecked(PLIST_ENTRY Entry)
{
    PLIST_ENTRY Next = Entry->Flink;
    PLIST_ENTRY Previous = Entry->Blink;

    if (Next->Blink != Entry || Previous->Flink != Entry)
        __asm__ volatile("int $0x29" : : "c"(FAST_FAIL_CORRUPT_LIST_ENTRY));
    Previous->Flink = Next;
    Next->Blink = Previous;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    InitializeListHead(&Head);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Entries); ++Index)
        InsertTailList(&Head, &Entries[Index]);
    RemoveChecked(&Entries[1]);
    RemoveChecked(&Entries[1]);
    return STATUS_UNSUCCESSFUL;
}
