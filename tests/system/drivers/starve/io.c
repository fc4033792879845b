/* Files, requests, devices, another driver. */
#include "starve.h"

NTSTATUS NTAPI NtNotifyChangeDirectoryFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                                           PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer, ULONG Length, ULONG CompletionFilter,
                                           BOOLEAN WatchTree);

VOID Files(VOID)
{
    OBJECT_ATTRIBUTES Attributes;
    FILE_STANDARD_INFORMATION Standard;
    FILE_DISPOSITION_INFORMATION Disposition = { TRUE };
    IO_STATUS_BLOCK Status;
    UNICODE_STRING Path;
    UCHAR Buffer[512];
    HANDLE File;

    Name(&Path, &Attributes, L"\\DosDevices\\C:\\starve.txt");
    if (Note(ZwCreateFile(&File, GENERIC_READ | GENERIC_WRITE | DELETE | SYNCHRONIZE, &Attributes, &Status, NULL,
                          FILE_ATTRIBUTE_NORMAL, 0, FILE_OVERWRITE_IF, FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0))) {
        RtlFillMemory(Buffer, sizeof(Buffer), 'x');
        Note(ZwWriteFile(File, NULL, NULL, NULL, &Status, Buffer, sizeof(Buffer), NULL, NULL));
        Note(ZwQueryInformationFile(File, &Status, &Standard, sizeof(Standard), FileStandardInformation));
        Note(ZwSetInformationFile(File, &Status, &Disposition, sizeof(Disposition), FileDispositionInformation));
        ZwClose(File);
    }
    Name(&Path, &Attributes, L"\\DosDevices\\C:\\");
    if (Note(ZwOpenFile(&File, FILE_LIST_DIRECTORY | SYNCHRONIZE, &Attributes, &Status, FILE_SHARE_READ,
                        FILE_SYNCHRONOUS_IO_NONALERT | FILE_DIRECTORY_FILE))) {
        Note(ZwQueryDirectoryFile(File, NULL, NULL, NULL, &Status, Buffer, sizeof(Buffer), FileDirectoryInformation, FALSE, NULL,
                                  TRUE));
        ZwClose(File);
    }
}

static HANDLE OpenPath(PCWSTR Text, ACCESS_MASK Access, ULONG Disposition, ULONG Options)
{
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Status;
    UNICODE_STRING Path;
    HANDLE File;

    Name(&Path, &Attributes, Text);
    return Note(ZwCreateFile(&File, Access | SYNCHRONIZE, &Attributes, &Status, NULL, FILE_ATTRIBUTE_NORMAL, 7, Disposition,
                             Options, NULL, 0))
               ? File
               : NULL;
}

static VOID NameTo(HANDLE File, PCWSTR Text, FILE_INFORMATION_CLASS Class)
{
    struct {
        FILE_RENAME_INFORMATION Header;
        WCHAR Rest[64];
    } Target;
    IO_STATUS_BLOCK Status;

    RtlZeroMemory(&Target, sizeof(Target));
    Target.Header.ReplaceIfExists = TRUE;
    Target.Header.FileNameLength = (ULONG)(wcslen(Text) * sizeof(WCHAR));
    RtlCopyMemory(Target.Header.FileName, Text, Target.Header.FileNameLength);
    Note(ZwSetInformationFile(File, &Status, &Target, sizeof(Target), Class));
}

static VOID Dispose(HANDLE File)
{
    FILE_DISPOSITION_INFORMATION Disposition = { TRUE };
    IO_STATUS_BLOCK Status;

    while (!Note(ZwSetInformationFile(File, &Status, &Disposition, sizeof(Disposition), FileDispositionInformation)))
        ;
    ZwClose(File);
}

/* What the file system keeps for others: watchers, oplocks, byte ranges, links and new names. */
VOID FileSystem(VOID)
{
    static UCHAR Changes[256];
    ULONG Synchronous = FILE_SYNCHRONOUS_IO_NONALERT;
    HANDLE Directory = OpenPath(L"\\DosDevices\\C:\\starved", FILE_LIST_DIRECTORY, FILE_OPEN_IF, FILE_DIRECTORY_FILE);
    HANDLE File, Asynchronous, Event = NULL;
    OBJECT_ATTRIBUTES Attributes;
    LARGE_INTEGER Offset = { 0 }, Length;
    IO_STATUS_BLOCK Status, Watch, Oplock;
    FILE_IO_PRIORITY_HINT_INFORMATION Hint = { IoPriorityLow };
    UCHAR Buffer[600];

    if (Directory == NULL)
        return;
    InitializeObjectAttributes(&Attributes, NULL, OBJ_KERNEL_HANDLE, NULL, NULL);
    Note(NtNotifyChangeDirectoryFile(Directory, NULL, NULL, NULL, &Watch, Changes, sizeof(Changes), FILE_NOTIFY_CHANGE_FILE_NAME,
                                     TRUE));
    File = OpenPath(L"\\DosDevices\\C:\\starved\\one.txt", GENERIC_READ | GENERIC_WRITE | DELETE, FILE_OPEN_IF, Synchronous);
    if (File != NULL) {
        RtlFillMemory(Buffer, sizeof(Buffer), 'x');
        Length.QuadPart = 10;
        Note(ZwWriteFile(File, NULL, NULL, NULL, &Status, Buffer, sizeof(Buffer), &Offset, NULL));
        Note(ZwReadFile(File, NULL, NULL, NULL, &Status, Buffer, sizeof(Buffer), &Offset, NULL));
        Note(ZwFlushBuffersFile(File, &Status));
        Note(ZwSetInformationFile(File, &Status, &Hint, sizeof(Hint), FileIoPriorityHintInformation));
        Note(ZwQueryVolumeInformationFile(File, &Status, Buffer, sizeof(Buffer), FileFsFullSizeInformation));
        Note(ZwQueryInformationFile(File, &Status, Buffer, sizeof(Buffer), FileAllInformation));
        if (Note(ZwLockFile(File, NULL, NULL, NULL, &Status, &Offset, &Length, 0, TRUE, TRUE)))
            while (!Note(ZwUnlockFile(File, &Status, &Offset, &Length, 0)))
                ;
        NameTo(File, L"two.txt", FileRenameInformation);
        NameTo(File, L"\\DosDevices\\C:\\starved\\three.txt", FileRenameInformation);
        Dispose(File);
    }
    if (Note(ZwCreateEvent(&Event, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE))) {
        Asynchronous = OpenPath(L"\\DosDevices\\C:\\starved\\oplock", GENERIC_READ | DELETE, FILE_OPEN_IF, FILE_DELETE_ON_CLOSE);
        if (Asynchronous != NULL) {
            NTSTATUS Held = ZwFsControlFile(Asynchronous, Event, NULL, NULL, &Oplock, FSCTL_REQUEST_BATCH_OPLOCK, NULL, 0, NULL, 0);

            if (Note(Held)) {
                HANDLE Other = OpenPath(L"\\DosDevices\\C:\\starved\\oplock", FILE_READ_DATA, FILE_OPEN,
                                        Synchronous | FILE_COMPLETE_IF_OPLOCKED);

                if (Other != NULL)
                    ZwClose(Other);
            }
            ZwClose(Asynchronous);
            if (Held == STATUS_PENDING)
                ZwWaitForSingleObject(Event, FALSE, NULL);
        }
        ZwClose(Event);
    }
    File = OpenPath(L"\\DosDevices\\C:\\starved", FILE_LIST_DIRECTORY, FILE_OPEN, Synchronous | FILE_DIRECTORY_FILE);
    if (File != NULL) {
        UNICODE_STRING Pattern;

        RtlInitUnicodeString(&Pattern, L"*");
        Note(ZwQueryDirectoryFile(File, NULL, NULL, NULL, &Status, Buffer, sizeof(Buffer), FileBothDirectoryInformation, FALSE,
                                  &Pattern, TRUE));
        ZwClose(File);
    }
    ZwClose(Directory);
    while ((Directory = OpenPath(L"\\DosDevices\\C:\\starved", DELETE, FILE_OPEN, Synchronous | FILE_DIRECTORY_FILE)) == NULL)
        ;
    Dispose(Directory);
}

static VOID Control(ULONG Code)
{
    IO_STATUS_BLOCK Status;
    UCHAR Buffer[64];
    KEVENT Event;
    PIRP Irp;

    /* The default dispatch routine refuses it; what its buffers take comes and goes. */
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    Irp = IoBuildDeviceIoControlRequest(Code, Device, Buffer, sizeof(Buffer), Buffer, sizeof(Buffer), FALSE, &Event, &Status);
    if (NotePointer(Irp) && IoCallDriver(Device, Irp) == STATUS_PENDING)
        KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
}

VOID Requests(VOID)
{
    LARGE_INTEGER Offset = { 0 };
    IO_STATUS_BLOCK Status;
    UCHAR Buffer[64];
    PIO_WORKITEM Item = IoAllocateWorkItem(Device);
    KEVENT Event;
    PIRP Irp = IoAllocateIrp(9, FALSE);

    if (NotePointer(Item))
        IoFreeWorkItem(Item);
    if (NotePointer(Irp))
        IoFreeIrp(Irp);
    Control(0x222000);                                                            /* METHOD_BUFFERED */
    Control(CTL_CODE(FILE_DEVICE_UNKNOWN, 2048, METHOD_IN_DIRECT, FILE_ANY_ACCESS)); /* and with an MDL */
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    Device->Flags |= DO_BUFFERED_IO;
    Irp = IoBuildSynchronousFsdRequest(IRP_MJ_READ, Device, Buffer, sizeof(Buffer), &Offset, &Event, &Status);
    if (NotePointer(Irp) && IoCallDriver(Device, Irp) == STATUS_PENDING)
        KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
    Device->Flags &= ~DO_BUFFERED_IO;
}

VOID Devices(VOID)
{
    UNICODE_STRING Path, Link;
    PDEVICE_OBJECT Named;

    RtlInitUnicodeString(&Path, L"\\Device\\Starve");
    RtlInitUnicodeString(&Link, L"\\DosDevices\\Starve");
    if (!Note(IoCreateDevice(Driver, 100, &Path, FILE_DEVICE_DISK, 0, FALSE, &Named)))
        return;
    Named->Flags &= ~DO_DEVICE_INITIALIZING;
    if (Note(IoCreateSymbolicLink(&Link, &Path))) {
        PFILE_OBJECT File;
        PDEVICE_OBJECT Found;

        if (NT_SUCCESS(IoGetDeviceObjectPointer(&Path, FILE_READ_DATA, &File, &Found)))
            ObDereferenceObject(File);
        while (!NT_SUCCESS(IoDeleteSymbolicLink(&Link)))
            ;
    }
    IoDeleteDevice(Named);
}

/* A driver that is loaded and unloaded again: C:\nothing.sys, which the test puts there. */
VOID OtherDriver(VOID)
{
    static const WCHAR Service[] = L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\starved_nothing";
    static const WCHAR Image[] = L"\\??\\C:\\nothing.sys";
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Path, Value;
    ULONG Type = 1;
    HANDLE Key;
    BOOLEAN Ready;

    Name(&Path, &Attributes, Service);
    if (!Note(ZwCreateKey(&Key, KEY_ALL_ACCESS, &Attributes, 0, NULL, REG_OPTION_VOLATILE, NULL))) {
        ForgetKey(Service);
        return;
    }
    RtlInitUnicodeString(&Value, L"ImagePath");
    Ready = Note(ZwSetValueKey(Key, &Value, 0, REG_EXPAND_SZ, (PVOID)Image, sizeof(Image)));
    RtlInitUnicodeString(&Value, L"Type");
    Ready = Ready && Note(ZwSetValueKey(Key, &Value, 0, REG_DWORD, &Type, sizeof(Type)));
    ZwClose(Key);
    if (Ready && Note(ZwLoadDriver(&Path))) {
        while (!Note(ZwUnloadDriver(&Path)))
            ;
    }
    ForgetKey(Service);
}
