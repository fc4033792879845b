/* Files: open, cached and paging transfers, sizes, deletion, locks. */
#include "ramfs.h"

static NTSTATUS FindEntry(PRAMFS_ENTRY Entries, PCUNICODE_STRING Wanted, PULONG Index)
{
    UNICODE_STRING Name;

    for (*Index = 0; *Index < MAX_FILES; ++*Index) {
        Name.Buffer = Entries[*Index].Name;
        Name.Length = Name.MaximumLength = (USHORT)Entries[*Index].NameBytes;
        if (Entries[*Index].InUse && FsRtlAreNamesEqual(&Name, Wanted, TRUE, NULL))
            return STATUS_SUCCESS;
    }
    return STATUS_OBJECT_NAME_NOT_FOUND;
}

static NTSTATUS MakeEntry(PRAMFS_ENTRY Entries, PCUNICODE_STRING Name, PULONG Index)
{
    for (*Index = 0; *Index < MAX_FILES; ++*Index) {
        PRAMFS_ENTRY Entry = &Entries[*Index];

        if (Entry->InUse)
            continue;
        RtlZeroMemory(Entry, sizeof(*Entry));
        Entry->InUse = 1;
        Entry->NameBytes = Name->Length;
        RtlCopyMemory(Entry->Name, Name->Buffer, Name->Length);
        return STATUS_SUCCESS;
    }
    return STATUS_DISK_FULL;
}

/* The file system's name of a file: one component, no wildcard, no stream. */
static NTSTATUS CheckName(PUNICODE_STRING Path, PUNICODE_STRING Name)
{
    UNICODE_STRING Rest;
    USHORT i;

    FsRtlDissectName(*Path, Name, &Rest);
    if (Rest.Length != 0)
        return STATUS_OBJECT_PATH_NOT_FOUND;
    if (Name->Length > NAME_CHARS * sizeof(WCHAR) || FsRtlDoesNameContainWildCards(Name))
        return STATUS_OBJECT_NAME_INVALID;
    for (i = 0; i < Name->Length / sizeof(WCHAR); ++i) {
        if (Name->Buffer[i] < 128 && !FsRtlIsAnsiCharacterLegalNtfs(Name->Buffer[i], FALSE))
            return STATUS_OBJECT_NAME_INVALID;
    }
    return STATUS_SUCCESS;
}

/* Under the volume's resource: what the directory says of an open file. */
static void StoreSizes(PVCB Vcb, PFCB Fcb)
{
    PVOID Bcb;
    PRAMFS_ENTRY Entries = RamFsPinDirectory(Vcb, &Bcb);

    Entries[Fcb->Index].Size = Fcb->Header.FileSize.LowPart;
    Entries[Fcb->Index].ValidSize = Fcb->Header.ValidDataLength.LowPart;
    CcSetDirtyPinnedData(Bcb, NULL);
    CcUnpinData(Bcb);
}

static void TellCache(PFILE_OBJECT File, PFCB Fcb)
{
    CC_FILE_SIZES Sizes;

    Sizes.AllocationSize = Fcb->Header.AllocationSize;
    Sizes.FileSize = Fcb->Header.FileSize;
    Sizes.ValidDataLength = Fcb->Header.ValidDataLength;
    CcSetFileSizes(File, &Sizes);
}

static void SetSize(PFILE_OBJECT File, PFCB Fcb, LONGLONG Size)
{
    Fcb->Header.FileSize.QuadPart = Size;
    if (Fcb->Header.ValidDataLength.QuadPart > Size)
        Fcb->Header.ValidDataLength.QuadPart = Size;
    TellCache(File, Fcb);
}

static NTSTATUS OpenFcb(PVCB Vcb, PIO_STACK_LOCATION Stack, ULONG Index, PRAMFS_ENTRY Entry)
{
    ULONG Disposition = Stack->Parameters.Create.Options >> 24;
    BOOLEAN Replaces = Disposition == FILE_OVERWRITE || Disposition == FILE_OVERWRITE_IF || Disposition == FILE_SUPERSEDE;
    PFILE_OBJECT File = Stack->FileObject;
    ACCESS_MASK Access = Stack->Parameters.Create.SecurityContext->DesiredAccess;
    PFCB Fcb = Vcb->Open[Index];
    NTSTATUS Status;

    if (Fcb != NULL && Fcb->DeleteOnClose)
        return STATUS_DELETE_PENDING;
    if (Fcb == NULL) {
        Fcb = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(FCB), RAMFS_TAG);
        if (Fcb == NULL)
            return STATUS_INSUFFICIENT_RESOURCES;
        RamFsInitializeFcb(Fcb, Index, Entry->Size, Entry->ValidSize);
        Vcb->Open[Index] = Fcb;
    }
    if (Fcb->Handles == 0) {
        IoSetShareAccess(Access, Stack->Parameters.Create.ShareAccess, File, &Fcb->ShareAccess);
    } else {
        Status = IoCheckShareAccess(Access, Stack->Parameters.Create.ShareAccess, File, &Fcb->ShareAccess, TRUE);
        if (!NT_SUCCESS(Status))
            return Status;
    }
    ++Fcb->References;
    ++Fcb->Handles;
    File->FsContext = Fcb;
    File->SectionObjectPointer = &Fcb->Section;
    if (Replaces)
        SetSize(File, Fcb, 0);
    if (Stack->Parameters.Create.Options & FILE_DELETE_ON_CLOSE)
        Fcb->DeleteOnClose = TRUE;
    return STATUS_SUCCESS;
}

static NTSTATUS OpenFile(PVCB Vcb, PIO_STACK_LOCATION Stack, PUNICODE_STRING Name, ULONG_PTR *Information)
{
    ULONG Disposition = Stack->Parameters.Create.Options >> 24;
    BOOLEAN Creates = Disposition == FILE_CREATE || Disposition == FILE_OPEN_IF || Disposition == FILE_OVERWRITE_IF ||
                      Disposition == FILE_SUPERSEDE;
    NTSTATUS Status;
    ULONG Index;
    PVOID Bcb;
    PRAMFS_ENTRY Entries = RamFsPinDirectory(Vcb, &Bcb);

    Status = FindEntry(Entries, Name, &Index);
    *Information = Disposition == FILE_OPEN || Disposition == FILE_OPEN_IF ? FILE_OPENED : FILE_OVERWRITTEN;
    if (NT_SUCCESS(Status) && Disposition == FILE_CREATE) {
        Status = STATUS_OBJECT_NAME_COLLISION;
    } else if (!NT_SUCCESS(Status) && Creates) {
        Status = MakeEntry(Entries, Name, &Index);
        if (NT_SUCCESS(Status)) {
            CcSetDirtyPinnedData(Bcb, NULL);
            *Information = FILE_CREATED;
        }
    }
    if (NT_SUCCESS(Status))
        Status = OpenFcb(Vcb, Stack, Index, &Entries[Index]);
    CcUnpinData(Bcb);
    return Status;
}

NTSTATUS RamFsCreate(PVCB Vcb, PIRP Irp)
{
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    PFILE_OBJECT File = Stack->FileObject;
    ULONG_PTR Information = FILE_OPENED;
    UNICODE_STRING Name;
    NTSTATUS Status;

    if (Stack->Parameters.Create.EaLength != 0)
        return RamFsComplete(Irp, STATUS_EAS_NOT_SUPPORTED, 0);
    if (File->FileName.Length == 0 && File->RelatedFileObject == NULL)
        return RamFsComplete(Irp, STATUS_SUCCESS, FILE_OPENED); /* the volume itself */
    if (File->FileName.Length <= sizeof(WCHAR)) {
        PCCB Ccb = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(CCB), RAMFS_TAG);

        if (Ccb == NULL)
            return RamFsComplete(Irp, STATUS_INSUFFICIENT_RESOURCES, 0);
        RtlZeroMemory(Ccb, sizeof(*Ccb));
        File->FsContext2 = Ccb;
        return RamFsComplete(Irp, STATUS_SUCCESS, FILE_OPENED); /* its directory */
    }
    if (Stack->Parameters.Create.Options & FILE_DIRECTORY_FILE)
        return RamFsComplete(Irp, STATUS_NOT_A_DIRECTORY, 0);
    Status = CheckName(&File->FileName, &Name);
    if (NT_SUCCESS(Status)) {
        ExAcquireResourceExclusiveLite(&Vcb->Resource, TRUE);
        Status = OpenFile(Vcb, Stack, &Name, &Information);
        ExReleaseResourceLite(&Vcb->Resource);
    }
    if (NT_SUCCESS(Status) && Information == FILE_CREATED)
        RamFsReport(Vcb, &Name, FILE_NOTIFY_CHANGE_FILE_NAME, FILE_ACTION_ADDED);
    return RamFsComplete(Irp, Status, NT_SUCCESS(Status) ? Information : 0);
}

/* The last handle is closed: the file goes if it shall. */
static void LastCleanup(PVCB Vcb, PFILE_OBJECT File, PFCB Fcb)
{
    LARGE_INTEGER Nothing;
    UNICODE_STRING Name;
    WCHAR Chars[NAME_CHARS];
    PRAMFS_ENTRY Entries;
    PVOID Bcb;

    if (!Fcb->DeleteOnClose) {
        StoreSizes(Vcb, Fcb);
        return;
    }
    Nothing.QuadPart = 0;
    SetSize(File, Fcb, Nothing.QuadPart);
    Entries = RamFsPinDirectory(Vcb, &Bcb);
    Name.Buffer = Chars;
    Name.Length = Name.MaximumLength = (USHORT)Entries[Fcb->Index].NameBytes;
    RtlCopyMemory(Chars, Entries[Fcb->Index].Name, Name.Length);
    Entries[Fcb->Index].InUse = 0;
    CcSetDirtyPinnedData(Bcb, NULL);
    CcUnpinData(Bcb);
    RamFsReport(Vcb, &Name, FILE_NOTIFY_CHANGE_FILE_NAME, FILE_ACTION_REMOVED);
}

NTSTATUS RamFsCleanup(PVCB Vcb, PIRP Irp)
{
    PFILE_OBJECT File = IoGetCurrentIrpStackLocation(Irp)->FileObject;
    PFCB Fcb = File->FsContext;

    if (File->FsContext2 != NULL)
        FsRtlNotifyCleanup(Vcb->NotifySync, &Vcb->NotifyList, File->FsContext2);
    if (Fcb != NULL && Fcb != &Vcb->MetadataFcb) {
        ExAcquireResourceExclusiveLite(&Vcb->Resource, TRUE);
        FsRtlFastUnlockAll(&Fcb->Lock, File, IoGetRequestorProcess(Irp), NULL);
        IoRemoveShareAccess(File, &Fcb->ShareAccess);
        if (--Fcb->Handles == 0)
            LastCleanup(Vcb, File, Fcb);
        CcUninitializeCacheMap(File, NULL, NULL);
        ExReleaseResourceLite(&Vcb->Resource);
    }
    return RamFsComplete(Irp, STATUS_SUCCESS, 0);
}

NTSTATUS RamFsClose(PVCB Vcb, PIRP Irp)
{
    PFILE_OBJECT File = IoGetCurrentIrpStackLocation(Irp)->FileObject;
    PFCB Fcb = File->FsContext;
    PCCB Ccb = File->FsContext2;

    if (Ccb != NULL) {
        RtlFreeUnicodeString(&Ccb->Pattern);
        ExFreePoolWithTag(Ccb, RAMFS_TAG);
    }
    if (Fcb != NULL && Fcb != &Vcb->MetadataFcb) {
        ExAcquireResourceExclusiveLite(&Vcb->Resource, TRUE);
        if (--Fcb->References == 0) {
            Vcb->Open[Fcb->Index] = NULL;
            RamFsUninitializeFcb(Fcb);
            ExFreePoolWithTag(Fcb, RAMFS_TAG);
        }
        ExReleaseResourceLite(&Vcb->Resource);
    }
    return RamFsComplete(Irp, STATUS_SUCCESS, 0);
}

/* A paging request: where the map says, on the disk. */
static NTSTATUS PagingTransfer(PVCB Vcb, PFCB Fcb, PIRP Irp)
{
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    LONGLONG Offset = Stack->Parameters.Read.ByteOffset.QuadPart;
    ULONG Length = Stack->Parameters.Read.Length;
    LONGLONG Lbn, Sectors;
    NTSTATUS Status;

    if (!FsRtlLookupLargeMcbEntry(&Fcb->Map, Offset / SECTOR_SIZE, &Lbn, &Sectors, NULL, NULL, NULL))
        return RamFsComplete(Irp, STATUS_END_OF_FILE, 0);
    if (Length > Sectors * SECTOR_SIZE)
        Length = (ULONG)(Sectors * SECTOR_SIZE);
    Status = RamFsDiskIo(Vcb, Stack->MajorFunction, Lbn * SECTOR_SIZE, Length, Irp->MdlAddress);
    return RamFsComplete(Irp, Status, NT_SUCCESS(Status) ? Length : 0);
}

static void BeginCaching(PFILE_OBJECT File, PFCB Fcb)
{
    CC_FILE_SIZES Sizes;

    if (File->PrivateCacheMap != NULL)
        return;
    Sizes.AllocationSize = Fcb->Header.AllocationSize;
    Sizes.FileSize = Fcb->Header.FileSize;
    Sizes.ValidDataLength = Fcb->Header.ValidDataLength;
    CcInitializeCacheMap(File, &Sizes, FALSE, &RamFsCallbacks, Fcb);
}

static NTSTATUS CachedRead(PFILE_OBJECT File, PFCB Fcb, PIRP Irp, LONGLONG Offset, ULONG Length)
{
    LARGE_INTEGER At;

    if (!FsRtlCheckLockForReadAccess(&Fcb->Lock, Irp))
        return STATUS_FILE_LOCK_CONFLICT;
    if (Offset >= Fcb->Header.FileSize.QuadPart)
        return STATUS_END_OF_FILE;
    if (Length > Fcb->Header.FileSize.QuadPart - Offset)
        Length = (ULONG)(Fcb->Header.FileSize.QuadPart - Offset);
    At.QuadPart = Offset;
    BeginCaching(File, Fcb);
    CcCopyRead(File, &At, Length, TRUE, Irp->UserBuffer, &Irp->IoStatus);
    return Irp->IoStatus.Status;
}

static NTSTATUS CachedWrite(PFILE_OBJECT File, PFCB Fcb, PIRP Irp, LONGLONG Offset, ULONG Length)
{
    LARGE_INTEGER At;

    if (!FsRtlCheckLockForWriteAccess(&Fcb->Lock, Irp))
        return STATUS_FILE_LOCK_CONFLICT;
    if (Offset + Length > FILE_MAX_BYTES)
        return STATUS_DISK_FULL;
    At.QuadPart = Offset;
    BeginCaching(File, Fcb);
    if (Offset + Length > Fcb->Header.FileSize.QuadPart) {
        Fcb->Header.FileSize.QuadPart = Offset + Length;
        TellCache(File, Fcb);
    }
    if (Offset > Fcb->Header.ValidDataLength.QuadPart)
        CcZeroData(File, &Fcb->Header.ValidDataLength, &At, TRUE);
    CcCopyWrite(File, &At, Length, TRUE, Irp->UserBuffer);
    if (Offset + Length > Fcb->Header.ValidDataLength.QuadPart)
        Fcb->Header.ValidDataLength.QuadPart = Offset + Length;
    Irp->IoStatus.Information = Length;
    return STATUS_SUCCESS;
}

static NTSTATUS CachedTransfer(PFILE_OBJECT File, PFCB Fcb, PIRP Irp, PIO_STACK_LOCATION Stack)
{
    LONGLONG Offset = Stack->Parameters.Read.ByteOffset.QuadPart;
    ULONG Length = Stack->Parameters.Read.Length;
    NTSTATUS Status;

    __try {
        if (Stack->MajorFunction == IRP_MJ_READ) {
            Status = CachedRead(File, Fcb, Irp, Offset, Length);
        } else {
            if (Offset == -1)
                Offset = Fcb->Header.FileSize.QuadPart; /* append */
            Status = CachedWrite(File, Fcb, Irp, Offset, Length);
        }
    } __except (FsRtlIsNtstatusExpected(GetExceptionCode()) ? EXCEPTION_EXECUTE_HANDLER : EXCEPTION_CONTINUE_SEARCH) {
        Status = GetExceptionCode();
    }
    if (NT_SUCCESS(Status) && (File->Flags & FO_SYNCHRONOUS_IO))
        File->CurrentByteOffset.QuadPart = Offset + Irp->IoStatus.Information;
    return Status;
}

NTSTATUS RamFsReadWrite(PVCB Vcb, PIRP Irp)
{
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    PFCB Fcb = Stack->FileObject->FsContext;
    NTSTATUS Status;

    if (Fcb == NULL)
        return RamFsComplete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    if (Irp->Flags & IRP_PAGING_IO)
        return PagingTransfer(Vcb, Fcb, Irp);
    Irp->IoStatus.Information = 0;
    if (Stack->Parameters.Read.Length == 0)
        return RamFsComplete(Irp, STATUS_SUCCESS, 0);
    if (Stack->MajorFunction == IRP_MJ_READ)
        ExAcquireResourceSharedLite(&Fcb->Resource, TRUE);
    else
        ExAcquireResourceExclusiveLite(&Fcb->Resource, TRUE);
    Status = CachedTransfer(Stack->FileObject, Fcb, Irp, Stack);
    ExReleaseResourceLite(&Fcb->Resource);
    return RamFsComplete(Irp, Status, NT_SUCCESS(Status) ? Irp->IoStatus.Information : 0);
}

NTSTATUS RamFsQueryInformation(PVCB Vcb, PIRP Irp)
{
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    PFCB Fcb = Stack->FileObject->FsContext;
    PFILE_STANDARD_INFORMATION Standard = Irp->AssociatedIrp.SystemBuffer;

    UNREFERENCED_PARAMETER(Vcb);
    if (Fcb == NULL || Stack->Parameters.QueryFile.FileInformationClass != FileStandardInformation)
        return RamFsComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    RtlZeroMemory(Standard, sizeof(*Standard));
    Standard->AllocationSize = Fcb->Header.AllocationSize;
    Standard->EndOfFile = Fcb->Header.FileSize;
    Standard->NumberOfLinks = 1;
    Standard->DeletePending = Fcb->DeleteOnClose;
    return RamFsComplete(Irp, STATUS_SUCCESS, sizeof(*Standard));
}

NTSTATUS RamFsSetInformation(PVCB Vcb, PIRP Irp)
{
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    PFCB Fcb = Stack->FileObject->FsContext;
    NTSTATUS Status = STATUS_SUCCESS;
    LONGLONG Size;

    UNREFERENCED_PARAMETER(Vcb);
    if (Fcb == NULL)
        return RamFsComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    ExAcquireResourceExclusiveLite(&Fcb->Resource, TRUE);
    switch (Stack->Parameters.SetFile.FileInformationClass) {
    case FileDispositionInformation:
        Fcb->DeleteOnClose = ((PFILE_DISPOSITION_INFORMATION)Irp->AssociatedIrp.SystemBuffer)->DeleteFile;
        break;
    case FileEndOfFileInformation:
        Size = ((PFILE_END_OF_FILE_INFORMATION)Irp->AssociatedIrp.SystemBuffer)->EndOfFile.QuadPart;
        if (Size < 0 || Size > FILE_MAX_BYTES)
            Status = STATUS_DISK_FULL;
        else
            SetSize(Stack->FileObject, Fcb, Size);
        break;
    default:
        Status = STATUS_INVALID_PARAMETER;
    }
    ExReleaseResourceLite(&Fcb->Resource);
    return RamFsComplete(Irp, Status, 0);
}

NTSTATUS RamFsFlush(PVCB Vcb, PIRP Irp)
{
    PFCB Fcb = IoGetCurrentIrpStackLocation(Irp)->FileObject->FsContext;
    IO_STATUS_BLOCK Iosb = {{STATUS_SUCCESS}, 0};

    if (Fcb != NULL)
        CcFlushCache(&Fcb->Section, NULL, 0, &Iosb);
    if (NT_SUCCESS(Iosb.Status))
        CcFlushCache(&Vcb->MetadataFcb.Section, NULL, 0, &Iosb);
    return RamFsComplete(Irp, Iosb.Status, 0);
}

NTSTATUS RamFsLockControl(PVCB Vcb, PIRP Irp)
{
    PFCB Fcb = IoGetCurrentIrpStackLocation(Irp)->FileObject->FsContext;

    UNREFERENCED_PARAMETER(Vcb);
    if (Fcb == NULL)
        return RamFsComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    return FsRtlProcessFileLock(&Fcb->Lock, Irp, NULL);
}
