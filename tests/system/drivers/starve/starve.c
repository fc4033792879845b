/* The driver: runs each scenario until nothing of it is refused any more, then tells what is left of which tag. */
#include "starve.h"

#define MOST_ROUNDS 120
#define QUIET_ROUNDS 3 /* this many without a refusal end a scenario */
#define MOST_TAGS 512
#define TOLD_ANSWERS 20
#define SYSTEM_POOL_TAGS 22

NTSTATUS NTAPI ZwQuerySystemInformation(ULONG Class, PVOID Buffer, ULONG Length, PULONG ReturnLength);

PDRIVER_OBJECT Driver;
PDEVICE_OBJECT Device;

static ULONG Succeeded, Refused, Others;

typedef struct _TAG_USE {
    ULONG Tag, PagedAllocs, PagedFrees;
    SIZE_T PagedUsed;
    ULONG NonPagedAllocs, NonPagedFrees;
    SIZE_T NonPagedUsed;
} TAG_USE, *PTAG_USE;

typedef struct _TAGS {
    ULONG Count, Spare;
    TAG_USE Entries[MOST_TAGS];
} TAGS, *PTAGS;

static TAGS Before, After;

BOOLEAN NoteAt(NTSTATUS Status, PCSTR Where, ULONG Line)
{
    if (NT_SUCCESS(Status)) {
        ++Succeeded;
        return TRUE;
    }
    ++Refused;
    if (Status != STATUS_INSUFFICIENT_RESOURCES && Status != STATUS_NO_MEMORY) {
        if (Others++ < TOLD_ANSWERS)
            DbgPrint("starve: answer 0x%08x in %s, line %u\n", Status, Where, Line);
    }
    return FALSE;
}

VOID Name(PUNICODE_STRING String, POBJECT_ATTRIBUTES Attributes, PCWSTR Text)
{
    RtlInitUnicodeString(String, Text);
    InitializeObjectAttributes(Attributes, String, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
}

static VOID UntilNothingIsRefused(VOID (*Scenario)(VOID))
{
    ULONG Quiet = 0;

    for (ULONG Round = 0; Round < MOST_ROUNDS && Quiet < QUIET_ROUNDS; ++Round) {
        ULONG Seen = Refused;

        Scenario();
        Quiet = Refused == Seen ? Quiet + 1 : 0;
    }
}

static LONG BlocksOf(const TAG_USE *Use)
{
    return (LONG)(Use->PagedAllocs - Use->PagedFrees + Use->NonPagedAllocs - Use->NonPagedFrees);
}

static LONG AllBlocks(const TAGS *Tags)
{
    LONG Sum = 0;

    for (ULONG Index = 0; Index < Tags->Count; ++Index)
        Sum += BlocksOf(&Tags->Entries[Index]);
    return Sum;
}

/* When nothing changes any more: threads and objects that are on their way out are gone. */
static VOID ReadTags(PTAGS Tags)
{
    LONG Last = -1;

    for (ULONG Same = 0; Same < QUIET_ROUNDS;) {
        LARGE_INTEGER Pause;

        Pause.QuadPart = -500000;
        KeDelayExecutionThread(KernelMode, FALSE, &Pause);
        RtlZeroMemory(Tags, sizeof(*Tags));
        if (!NT_SUCCESS(ZwQuerySystemInformation(SYSTEM_POOL_TAGS, Tags, sizeof(*Tags), NULL)))
            continue;
        Same = AllBlocks(Tags) == Last ? Same + 1 : 0;
        Last = AllBlocks(Tags);
    }
}

static LONG BlocksBefore(ULONG Tag)
{
    for (ULONG Index = 0; Index < Before.Count; ++Index) {
        if (Before.Entries[Index].Tag == Tag)
            return BlocksOf(&Before.Entries[Index]);
    }
    return 0;
}

static VOID TellWhatIsLeft(VOID)
{
    for (ULONG Index = 0; Index < After.Count; ++Index) {
        const TAG_USE *Use = &After.Entries[Index];
        LONG More = BlocksOf(Use) - BlocksBefore(Use->Tag);

        if (More != 0)
            DbgPrint("starve: tag %08x: %d more\n", Use->Tag, More);
    }
}

static VOID Unload(PDRIVER_OBJECT Object)
{
    UNREFERENCED_PARAMETER(Object);
    if (Device != NULL)
        IoDeleteDevice(Device);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Object, PUNICODE_STRING RegistryPath)
{
    static VOID (*const Scenarios[])(VOID) = {
        Locks,  Callbacks,     Timers,    Lookasides,  Registrations, FloatingPoint, Queries, MdlsAndMappings, Sections,
        Files,  FileSystem, FileSystemHelpers, CodePages, HashTables, MoreRegistrations, Descriptors, SystemQueries, ProcessMemory, Requests,  Devices,     Keys,          RegistryHelpers, Strings, Names,          Threads,
        Notifications, CopiedMemory, OtherDriver, PagingOut,
    };

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver = Object;
    Driver->DriverUnload = Unload;
    while (!NT_SUCCESS(IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device)))
        Device = NULL;
    Device->Flags &= ~DO_DEVICE_INITIALIZING;
    ReadTags(&Before);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Scenarios); ++Index)
        UntilNothingIsRefused(Scenarios[Index]);
    ReadTags(&After);
    TellWhatIsLeft();
    DbgPrint("starve: %u calls succeeded, %u were refused, %u for another reason than memory\n", Succeeded, Refused, Others);
    return STATUS_SUCCESS;
}
