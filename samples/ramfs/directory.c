/* The directory: listing it, and telling those who watch it. */
#include "ramfs.h"

void RamFsReport(PVCB Vcb, PCUNICODE_STRING Name, ULONG Filter, ULONG Action)
{
    WCHAR Path[NAME_CHARS + 1];
    STRING Target;

    Path[0] = L'\\';
    RtlCopyMemory(Path + 1, Name->Buffer, Name->Length);
    Target.Buffer = (PCHAR)Path;
    Target.Length = Target.MaximumLength = Name->Length + sizeof(WCHAR);
    FsRtlNotifyFullReportChange(Vcb->NotifySync, &Vcb->NotifyList, &Target, sizeof(WCHAR), NULL, NULL, Filter, Action, NULL);
}

static NTSTATUS SetPattern(PCCB Ccb, PUNICODE_STRING Pattern)
{
    if (Pattern == NULL || Pattern->Length == 0)
        return STATUS_SUCCESS;
    return RtlUpcaseUnicodeString(&Ccb->Pattern, Pattern, TRUE);
}

/* FILE_NAMES_INFORMATION of one entry; 0: it does not fit. */
static ULONG PutEntry(PRAMFS_ENTRY Entry, ULONG Index, PUCHAR Buffer, ULONG Room)
{
    PFILE_NAMES_INFORMATION Out = (PFILE_NAMES_INFORMATION)Buffer;
    ULONG Size = FIELD_OFFSET(FILE_NAMES_INFORMATION, FileName) + Entry->NameBytes;

    if (Size > Room)
        return 0;
    Out->NextEntryOffset = 0;
    Out->FileIndex = Index;
    Out->FileNameLength = Entry->NameBytes;
    RtlCopyMemory(Out->FileName, Entry->Name, Entry->NameBytes);
    return Size;
}

static BOOLEAN Matches(PCCB Ccb, PRAMFS_ENTRY Entry)
{
    UNICODE_STRING Name;

    Name.Buffer = Entry->Name;
    Name.Length = Name.MaximumLength = (USHORT)Entry->NameBytes;
    return Entry->InUse && (Ccb->Pattern.Length == 0 || FsRtlIsNameInExpression(&Ccb->Pattern, &Name, TRUE, NULL));
}

static NTSTATUS List(PVCB Vcb, PIO_STACK_LOCATION Stack, PUCHAR Buffer, ULONG *Used)
{
    PCCB Ccb = Stack->FileObject->FsContext2;
    PFILE_NAMES_INFORMATION Last = NULL;
    BOOLEAN Single = (Stack->Flags & SL_RETURN_SINGLE_ENTRY) != 0;
    BOOLEAN Full = FALSE;
    PRAMFS_ENTRY Entries;
    PVOID Bcb;

    *Used = 0;
    if (Stack->Flags & SL_RESTART_SCAN)
        Ccb->NextIndex = 0;
    Entries = RamFsPinDirectory(Vcb, &Bcb);
    for (; Ccb->NextIndex < MAX_FILES && !Full && !(Single && Last != NULL); ++Ccb->NextIndex) {
        ULONG At = (*Used + 7) & ~7u;
        ULONG Size;

        if (!Matches(Ccb, &Entries[Ccb->NextIndex]))
            continue;
        Size = At < Stack->Parameters.QueryDirectory.Length
                   ? PutEntry(&Entries[Ccb->NextIndex], Ccb->NextIndex, Buffer + At, Stack->Parameters.QueryDirectory.Length - At)
                   : 0;
        Full = Size == 0;
        if (Full)
            break;
        if (Last != NULL)
            Last->NextEntryOffset = (ULONG)(Buffer + At - (PUCHAR)Last);
        Last = (PFILE_NAMES_INFORMATION)(Buffer + At);
        *Used = At + Size;
    }
    CcUnpinData(Bcb);
    if (Last != NULL)
        return STATUS_SUCCESS;
    return Full ? STATUS_BUFFER_OVERFLOW : STATUS_NO_MORE_FILES;
}

static NTSTATUS Query(PVCB Vcb, PIRP Irp)
{
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    PCCB Ccb = Stack->FileObject->FsContext2;
    BOOLEAN First = Ccb->NextIndex == 0 && Ccb->Pattern.Buffer == NULL;
    NTSTATUS Status = STATUS_SUCCESS;
    ULONG Used = 0;

    if (Stack->Parameters.QueryDirectory.FileInformationClass != FileNamesInformation)
        return RamFsComplete(Irp, STATUS_INVALID_INFO_CLASS, 0);
    ExAcquireResourceExclusiveLite(&Vcb->Resource, TRUE);
    if (First)
        Status = SetPattern(Ccb, (PUNICODE_STRING)Stack->Parameters.QueryDirectory.FileName);
    if (NT_SUCCESS(Status))
        Status = List(Vcb, Stack, Irp->UserBuffer, &Used);
    ExReleaseResourceLite(&Vcb->Resource);
    if (Status == STATUS_NO_MORE_FILES && First)
        Status = STATUS_NO_SUCH_FILE;
    return RamFsComplete(Irp, Status, Used);
}

NTSTATUS RamFsDirectoryControl(PVCB Vcb, PIRP Irp)
{
    static STRING Root = {2, 2, (PCHAR)L"\\"};
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);

    if (Stack->FileObject->FsContext2 == NULL)
        return RamFsComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    if (Stack->MinorFunction == IRP_MN_QUERY_DIRECTORY)
        return Query(Vcb, Irp);
    if (Stack->MinorFunction != IRP_MN_NOTIFY_CHANGE_DIRECTORY)
        return RamFsComplete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    FsRtlNotifyFullChangeDirectory(Vcb->NotifySync, &Vcb->NotifyList, Stack->FileObject->FsContext2, &Root,
                                   (Stack->Flags & SL_WATCH_TREE) != 0, FALSE,
                                   Stack->Parameters.NotifyDirectory.CompletionFilter, Irp, NULL, NULL);
    return STATUS_PENDING;
}
