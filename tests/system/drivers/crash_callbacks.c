/* Registers every kind of bug check callback and stops the machine: what they did is looked for in the dump. */
#include <ntddk.h>

static KBUGCHECK_CALLBACK_RECORD Plain;
static KBUGCHECK_REASON_CALLBACK_RECORD Secondary, AddPages, DumpIo, Broken;
static UCHAR Component[] = "crash_callbacks";

static struct {
    char Text[32];
    ULONG PlainCalls, HeaderBytes, BodyPages, SecondaryBytes, Completed;
} Seen = {"what the callbacks have seen", 0, 0, 0, 0, 0};

static VOID NTAPI OnBugCheck(PVOID Buffer, ULONG Length)
{
    UNREFERENCED_PARAMETER(Buffer);
    UNREFERENCED_PARAMETER(Length);
    Seen.PlainCalls++;
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

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeCallbackRecord((&Plain));
    KeInitializeCallbackRecord((&Secondary));
    KeInitializeCallbackRecord((&AddPages));
    KeInitializeCallbackRecord((&DumpIo));
    KeInitializeCallbackRecord((&Broken));
    KeRegisterBugCheckCallback(&Plain, OnBugCheck, &Seen, sizeof Seen, Component);
    KeRegisterBugCheckReasonCallback(&Secondary, OnSecondary, KbCallbackSecondaryDumpData, Component);
    KeRegisterBugCheckReasonCallback(&AddPages, OnAddPages, KbCallbackAddPages, Component);
    KeRegisterBugCheckReasonCallback(&DumpIo, OnDumpIo, KbCallbackDumpIo, Component);
    KeRegisterBugCheckReasonCallback(&Broken, OnDumpIoFaulting, KbCallbackDumpIo, Component);
    KeBugCheckEx(0xE2, 0, 0, 0, 0);
}
