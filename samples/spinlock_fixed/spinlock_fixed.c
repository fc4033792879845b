/*
 * samples/spinlock put right: the lock is a mutex, which is waited for at PASSIVE_LEVEL and leaves special kernel APCs
 * enabled, so its owner may do file I/O. (A fast mutex would raise to APC_LEVEL, where ZwCreateFile is not allowed.)
 *
 * One thread writes 1000 files of 100 lines to C:\Temp, the other moves each to C:\Temp2; unload waits for both.
 */
#include <ntifs.h>
#include <ntstrsafe.h>

#define FILE_COUNT 1000
#define LINES_PER_FILE 100
#define PATH_LENGTH 64

typedef struct _WORKSHOP {
    KMUTEX Lock;
    ULONG FilesWritten; /* guarded by Lock */
    BOOLEAN WriterDone; /* guarded by Lock */
    KEVENT Progress;    /* set after either of the two changed */
    PETHREAD Writer;
    PETHREAD Mover;
} WORKSHOP, *PWORKSHOP;

static NTSTATUS OpenPath(PCWSTR Name, ACCESS_MASK Access, ULONG Disposition, ULONG Options, PHANDLE File)
{
    UNICODE_STRING Path;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Status;

    RtlInitUnicodeString(&Path, Name);
    InitializeObjectAttributes(&Attributes, &Path, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return ZwCreateFile(File, Access | SYNCHRONIZE, &Attributes, &Status, NULL, FILE_ATTRIBUTE_NORMAL,
                        FILE_SHARE_READ | FILE_SHARE_WRITE, Disposition, Options | FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
}

static NTSTATUS MakeFolder(PCWSTR Name)
{
    HANDLE Folder;
    NTSTATUS Status = OpenPath(Name, FILE_LIST_DIRECTORY, FILE_OPEN_IF, FILE_DIRECTORY_FILE, &Folder);

    if (NT_SUCCESS(Status))
        ZwClose(Folder);
    return Status;
}

static NTSTATUS WriteReport(ULONG Number)
{
    static const CHAR Line[] = "One line of a report.\r\n";
    WCHAR Name[PATH_LENGTH];
    IO_STATUS_BLOCK Io;
    HANDLE File;
    NTSTATUS Status;

    RtlStringCchPrintfW(Name, PATH_LENGTH, L"\\DosDevices\\C:\\Temp\\report_%u.txt", Number);
    Status = OpenPath(Name, GENERIC_WRITE, FILE_OVERWRITE_IF, FILE_NON_DIRECTORY_FILE, &File);
    if (!NT_SUCCESS(Status))
        return Status;
    for (ULONG Count = 0; Count < LINES_PER_FILE && NT_SUCCESS(Status); ++Count)
        Status = ZwWriteFile(File, NULL, NULL, NULL, &Io, (PVOID)Line, sizeof(Line) - 1, NULL, NULL);
    ZwClose(File);
    return Status;
}

static NTSTATUS MoveReport(ULONG Number)
{
    struct {
        FILE_RENAME_INFORMATION Header;
        WCHAR Rest[PATH_LENGTH]; /* Header.FileName runs on into here */
    } Target;
    WCHAR Name[PATH_LENGTH], NewName[PATH_LENGTH];
    IO_STATUS_BLOCK Io;
    HANDLE File;
    NTSTATUS Status;

    RtlStringCchPrintfW(Name, PATH_LENGTH, L"\\DosDevices\\C:\\Temp\\report_%u.txt", Number);
    RtlStringCchPrintfW(NewName, PATH_LENGTH, L"\\DosDevices\\C:\\Temp2\\moved_%u.txt", Number);
    Status = OpenPath(Name, DELETE, FILE_OPEN, FILE_NON_DIRECTORY_FILE, &File);
    if (!NT_SUCCESS(Status))
        return Status;
    RtlZeroMemory(&Target, sizeof(Target));
    Target.Header.ReplaceIfExists = TRUE;
    Target.Header.FileNameLength = (ULONG)(wcslen(NewName) * sizeof(WCHAR));
    RtlCopyMemory((PUCHAR)&Target + FIELD_OFFSET(FILE_RENAME_INFORMATION, FileName), NewName, Target.Header.FileNameLength);
    Status = ZwSetInformationFile(File, &Io, &Target, sizeof(Target), FileRenameInformation);
    ZwClose(File);
    return Status;
}

static void Announce(PCSTR Who, ULONG Count, NTSTATUS Status)
{
    DbgPrint("spinlock_fixed: %s: %u files, status 0x%08x\n", Who, Count, (ULONG)Status);
}

static void WriterThread(PVOID Context)
{
    PWORKSHOP Shop = Context;
    NTSTATUS Status = STATUS_SUCCESS;
    ULONG Number = 0;

    while (Number < FILE_COUNT && NT_SUCCESS(Status)) {
        KeWaitForSingleObject(&Shop->Lock, Executive, KernelMode, FALSE, NULL);
        Status = WriteReport(Number);
        if (NT_SUCCESS(Status))
            Shop->FilesWritten = ++Number;
        KeReleaseMutex(&Shop->Lock, FALSE);
        KeSetEvent(&Shop->Progress, IO_NO_INCREMENT, FALSE);
    }
    KeWaitForSingleObject(&Shop->Lock, Executive, KernelMode, FALSE, NULL);
    Shop->WriterDone = TRUE;
    KeReleaseMutex(&Shop->Lock, FALSE);
    KeSetEvent(&Shop->Progress, IO_NO_INCREMENT, FALSE);
    Announce("written", Number, Status);
    PsTerminateSystemThread(Status);
}

static void MoverThread(PVOID Context)
{
    PWORKSHOP Shop = Context;
    NTSTATUS Status = STATUS_SUCCESS;
    ULONG Moved = 0;
    BOOLEAN More = TRUE;

    while (More && NT_SUCCESS(Status)) {
        KeWaitForSingleObject(&Shop->Progress, Executive, KernelMode, FALSE, NULL);
        KeWaitForSingleObject(&Shop->Lock, Executive, KernelMode, FALSE, NULL);
        while (Moved < Shop->FilesWritten && NT_SUCCESS(Status)) {
            Status = MoveReport(Moved);
            if (NT_SUCCESS(Status))
                ++Moved;
        }
        More = !Shop->WriterDone;
        KeReleaseMutex(&Shop->Lock, FALSE);
    }
    Announce("moved", Moved, Status);
    PsTerminateSystemThread(Status);
}

static NTSTATUS StartThread(PKSTART_ROUTINE Routine, PWORKSHOP Shop, PETHREAD *Thread)
{
    HANDLE Handle;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Routine, Shop);

    if (!NT_SUCCESS(Status))
        return Status;
    Status = ObReferenceObjectByHandle(Handle, THREAD_ALL_ACCESS, *PsThreadType, KernelMode, (PVOID *)Thread, NULL);
    ZwClose(Handle);
    return Status;
}

static void WaitFor(PETHREAD Thread)
{
    if (Thread == NULL)
        return;
    KeWaitForSingleObject(Thread, Executive, KernelMode, FALSE, NULL);
    ObDereferenceObject(Thread);
}

static void Unload(PDRIVER_OBJECT Driver)
{
    PWORKSHOP Shop = Driver->DeviceObject->DeviceExtension;

    WaitFor(Shop->Writer);
    WaitFor(Shop->Mover);
    IoDeleteDevice(Driver->DeviceObject);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    PWORKSHOP Shop;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->DriverUnload = Unload;
    Status = MakeFolder(L"\\DosDevices\\C:\\Temp");
    if (NT_SUCCESS(Status))
        Status = MakeFolder(L"\\DosDevices\\C:\\Temp2");
    if (NT_SUCCESS(Status))
        Status = IoCreateDevice(Driver, sizeof(WORKSHOP), NULL, FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN, FALSE,
                                &Device);
    if (!NT_SUCCESS(Status))
        return Status;

    Shop = Device->DeviceExtension;
    KeInitializeMutex(&Shop->Lock, 0);
    KeInitializeEvent(&Shop->Progress, SynchronizationEvent, FALSE);
    Status = StartThread(MoverThread, Shop, &Shop->Mover);
    if (!NT_SUCCESS(Status)) {
        IoDeleteDevice(Device);
        return Status;
    }
    Status = StartThread(WriterThread, Shop, &Shop->Writer);
    if (!NT_SUCCESS(Status)) {
        Shop->WriterDone = TRUE;
        KeSetEvent(&Shop->Progress, IO_NO_INCREMENT, FALSE);
        Unload(Driver);
    }
    return Status;
}
