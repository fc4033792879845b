/* Registers every kind of bug check callback and stops the machine: what they did is looked for in the dump. */
#include <ntddk.h>

static KBUGCHECK_CALLBACK_RECORD Plain, BrokenPlain;
static KBUGCHECK_REASON_CALLBACK_RECORD Secondary, Parts, AddPages, Triage, DumpIo, Broken;
static UCHAR Component[] = "crash_callbacks";

static struct {
    char Text[32];
    ULONG TriageCalls, PlainCalls, HeaderBytes, BodyPages, SecondaryBytes, Completed;
} Seen = {"what the callbacks have seen", 0, 0, 0, 0, 0, 0};

static VOID NTAPI OnBugCheck(PVOID Buffer, ULONG Length)
{
    UNREFERENCED_PARAMETER(Buffer);
    UNREFERENCED_PARAMETER(Length);
    Seen.PlainCalls++;
    DbgPrint("crash_callbacks: plain %u at IRQL %u\n", Seen.PlainCalls, KeGetCurrentIrql());
}

/* The others have run when this one faults. */
static VOID NTAPI OnBugCheckFaulting(PVOID Buffer, ULONG Length)
{
    UNREFERENCED_PARAMETER(Buffer);
    UNREFERENCED_PARAMETER(Length);
    *(volatile LONG *)8 = 1;
}

static VOID NTAPI OnSecondary(KBUGCHECK_CALLBACK_REASON Reason, PKBUGCHECK_REASON_CALLBACK_RECORD Record, PVOID Data,
                              ULONG Length)
{
    static const GUID Tag = {0x12345678, 0x9ABC, 0xDEF0, {1, 2, 3, 4, 5, 6, 7, 8}};
    PKBUGCHECK_SECONDARY_DUMP_DATA Dump = Data;

    UNREFERENCED_PARAMETER(Reason);
    UNREFERENCED_PARAMETER(Record);
    UNREFERENCED_PARAMETER(Length);
    RtlCopyMemory(Dump->InBuffer, "tagged data", 11);
    Dump->Guid = Tag;
    Dump->OutBuffer = Dump->InBuffer;
    Dump->OutBufferLength = 11;
}

/* What mingw-w64's wdm.h lacks of the WDK's. */
typedef struct {
    KBUGCHECK_SECONDARY_DUMP_DATA Plain;
    PVOID Context;
    ULONG Flags, DumpType, BugCheckCode;
    ULONG_PTR Parameters[4];
} SECONDARY_DUMP_DATA_EX;

typedef struct {
    PVOID DataArray;
    ULONG Flags, MaxVirtMemSize, BugCheckCode;
    ULONG_PTR Parameters[4];
} TRIAGE_DUMP_DATA;

NTSYSAPI NTSTATUS NTAPI ZwAllocateVirtualMemory(HANDLE Process, PVOID *Base, ULONG_PTR ZeroBits, PSIZE_T Size, ULONG Type,
                                                ULONG Protect);
NTSYSAPI NTSTATUS NTAPI KeInitializeTriageDumpDataArray(PVOID Array, ULONG Size);
NTSYSAPI NTSTATUS NTAPI KeAddTriageDumpDataBlock(PVOID Array, PVOID Address, SIZE_T Size);

/* Three parts of one tag. */
static VOID NTAPI OnParts(KBUGCHECK_CALLBACK_REASON Reason, PKBUGCHECK_REASON_CALLBACK_RECORD Record, PVOID Data,
                          ULONG Length)
{
    static const GUID Tag = {0x87654321, 0x9ABC, 0xDEF0, {1, 2, 3, 4, 5, 6, 7, 8}};
    static char Own[] = "third";
    SECONDARY_DUMP_DATA_EX *Dump = Data;
    ULONG_PTR Part = (ULONG_PTR)Dump->Context;

    UNREFERENCED_PARAMETER(Reason);
    UNREFERENCED_PARAMETER(Record);
    if (Length != sizeof *Dump || Dump->BugCheckCode != 0xE2 || Dump->Parameters[0] != 0x11 || Dump->Flags != 0)
        return;
    Dump->Plain.Guid = Tag;
    if (Part < 2) {
        RtlCopyMemory(Dump->Plain.InBuffer, Part == 0 ? "first " : "second", 6);
        Dump->Plain.OutBuffer = Dump->Plain.InBuffer;
        Dump->Plain.OutBufferLength = 6;
        Dump->Context = (PVOID)(Part + 1);
        Dump->Flags = 1; /* KB_SECONDARY_DATA_FLAG_ADDITIONAL_DATA */
    } else {
        Dump->Plain.OutBuffer = Own;
        Dump->Plain.OutBufferLength = 5;
    }
}

/* A page of the process, which a kernel dump leaves out. */
static ULONG_PTR TriageArray[16];
static PVOID UserPage;

static VOID NTAPI OnTriage(KBUGCHECK_CALLBACK_REASON Reason, PKBUGCHECK_REASON_CALLBACK_RECORD Record, PVOID Data,
                           ULONG Length)
{
    TRIAGE_DUMP_DATA *Dump = Data;

    UNREFERENCED_PARAMETER(Reason);
    UNREFERENCED_PARAMETER(Record);
    if (Length != sizeof *Dump || Dump->BugCheckCode != 0xE2 || Dump->Flags != 1 || UserPage == NULL)
        return;
    if (NT_SUCCESS(KeAddTriageDumpDataBlock(TriageArray, UserPage, 64))) {
        Dump->DataArray = TriageArray;
        Seen.TriageCalls++;
    }
}

static VOID NTAPI OnAddPages(KBUGCHECK_CALLBACK_REASON Reason, PKBUGCHECK_REASON_CALLBACK_RECORD Record, PVOID Data,
                             ULONG Length)
{
    PKBUGCHECK_ADD_PAGES Pages = Data;

    UNREFERENCED_PARAMETER(Reason);
    UNREFERENCED_PARAMETER(Record);
    UNREFERENCED_PARAMETER(Length);
    /* Page 1 is below anything that the kernel keeps. */
    Pages->Flags = KB_ADD_PAGES_FLAG_PHYSICAL_ADDRESS;
    Pages->Address = 0x1000;
    Pages->Count = 1;
}

static VOID NTAPI OnDumpIo(KBUGCHECK_CALLBACK_REASON Reason, PKBUGCHECK_REASON_CALLBACK_RECORD Record, PVOID Data,
                           ULONG Length)
{
    PKBUGCHECK_DUMP_IO Io = Data;

    UNREFERENCED_PARAMETER(Reason);
    UNREFERENCED_PARAMETER(Record);
    UNREFERENCED_PARAMETER(Length);
    switch (Io->Type) {
    case KbDumpIoHeader:
        Seen.HeaderBytes += Io->BufferLength;
        break;
    case KbDumpIoBody:
        Seen.BodyPages += Io->BufferLength / PAGE_SIZE;
        break;
    case KbDumpIoSecondaryData:
        Seen.SecondaryBytes += Io->BufferLength;
        break;
    default:
        Seen.Completed++;
        break;
    }
}

/* Asked last of all (its reason is called after the others): a fault in a callback does not cost the dump. */
static VOID NTAPI OnDumpIoFaulting(KBUGCHECK_CALLBACK_REASON Reason, PKBUGCHECK_REASON_CALLBACK_RECORD Record, PVOID Data,
                                   ULONG Length)
{
    PKBUGCHECK_DUMP_IO Io = Data;

    UNREFERENCED_PARAMETER(Reason);
    UNREFERENCED_PARAMETER(Record);
    UNREFERENCED_PARAMETER(Length);
    if (Io->Type == KbDumpIoComplete) {
        *(volatile LONG *)8 = 1;
    }
}

static VOID PrepareTriage(VOID)
{
    static const char Text[] = "a page of the process that triage data asks for";
    SIZE_T Size = PAGE_SIZE;

    KeInitializeTriageDumpDataArray(TriageArray, sizeof TriageArray);
    if (!NT_SUCCESS(ZwAllocateVirtualMemory(ZwCurrentProcess(), &UserPage, 0, &Size, MEM_COMMIT | MEM_RESERVE,
                                            PAGE_READWRITE)))
        return;
    for (ULONG Index = 0; Index < sizeof Text; ++Index) /* not as it stands in the image */
        ((volatile char *)UserPage)[Index] = (char)(Text[Index] ^ 1);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeCallbackRecord((&Plain));
    KeInitializeCallbackRecord((&BrokenPlain));
    KeInitializeCallbackRecord((&Secondary));
    KeInitializeCallbackRecord((&Parts));
    KeInitializeCallbackRecord((&AddPages));
    KeInitializeCallbackRecord((&Triage));
    KeInitializeCallbackRecord((&DumpIo));
    KeInitializeCallbackRecord((&Broken));
    KeRegisterBugCheckCallback(&Plain, OnBugCheck, &Seen, sizeof Seen, Component);
    KeRegisterBugCheckCallback(&BrokenPlain, OnBugCheckFaulting, NULL, 0, Component);
    KeRegisterBugCheckReasonCallback(&Secondary, OnSecondary, KbCallbackSecondaryDumpData, Component);
    KeRegisterBugCheckReasonCallback(&Parts, OnParts, KbCallbackSecondaryMultiPartDumpData, Component);
    KeRegisterBugCheckReasonCallback(&Triage, OnTriage, KbCallbackTriageDumpData, Component);
    KeRegisterBugCheckReasonCallback(&AddPages, OnAddPages, KbCallbackAddPages, Component);
    KeRegisterBugCheckReasonCallback(&DumpIo, OnDumpIo, KbCallbackDumpIo, Component);
    KeRegisterBugCheckReasonCallback(&Broken, OnDumpIoFaulting, KbCallbackDumpIo, Component);
    PrepareTriage();
    KeBugCheckEx(0xE2, 0x11, 0, 0, 0);
}
