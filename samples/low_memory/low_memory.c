/*
 * A driver that takes every error for what it is: it asks the kernel for all kinds of things, gives back what it got, and goes
 * on when it got nothing. With `--boot-options fail-pool=1` (each allocation in the kernel fails once) or `fail-pool=20` (one in
 * twenty fails) it shows that the kernel itself survives without memory.
 */
#include <ntifs.h>

#define ROUNDS 60
#define TAG 'meMw'

static ULONG Succeeded, Refused;

static BOOLEAN Note(NTSTATUS Status)
{
    if (NT_SUCCESS(Status))
        ++Succeeded;
    else
        ++Refused;
    return NT_SUCCESS(Status);
}

static VOID Name(PUNICODE_STRING String, POBJECT_ATTRIBUTES Attributes, PCWSTR Text)
{
    RtlInitUnicodeString(String, Text);
    InitializeObjectAttributes(Attributes, String, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
}

static VOID Files(VOID)
{
    OBJECT_ATTRIBUTES Attributes;
    FILE_STANDARD_INFORMATION Standard;
    FILE_DISPOSITION_INFORMATION Disposition = { TRUE };
    IO_STATUS_BLOCK Status;
    UNICODE_STRING Path;
    UCHAR Buffer[512];
    HANDLE File;

    Name(&Path, &Attributes, L"\\DosDevices\\C:\\low_memory.txt");
    if (!Note(ZwCreateFile(&File, GENERIC_READ | GENERIC_WRITE | DELETE | SYNCHRONIZE, &Attributes, &Status, NULL,
                           FILE_ATTRIBUTE_NORMAL, 0, FILE_OVERWRITE_IF, FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0)))
        return;
    RtlFillMemory(Buffer, sizeof(Buffer), 'x');
    Note(ZwWriteFile(File, NULL, NULL, NULL, &Status, Buffer, sizeof(Buffer), NULL, NULL));
    Note(ZwQueryInformationFile(File, &Status, &Standard, sizeof(Standard), FileStandardInformation));
    Note(ZwSetInformationFile(File, &Status, &Disposition, sizeof(Disposition), FileDispositionInformation));
    ZwClose(File);
    Name(&Path, &Attributes, L"\\DosDevices\\C:\\");
    if (!Note(ZwOpenFile(&File, FILE_LIST_DIRECTORY | SYNCHRONIZE, &Attributes, &Status, FILE_SHARE_READ,
                         FILE_SYNCHRONOUS_IO_NONALERT | FILE_DIRECTORY_FILE)))
        return;
    Note(ZwQueryDirectoryFile(File, NULL, NULL, NULL, &Status, Buffer, sizeof(Buffer), FileDirectoryInformation, FALSE, NULL,
                              TRUE));
    ZwClose(File);
}

static VOID Keys(VOID)
{
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Path, Value;
    UCHAR Buffer[256];
    ULONG Length;
    HANDLE Key;

    Name(&Path, &Attributes, L"\\Registry\\Machine\\SYSTEM\\LowMemory");
    if (!Note(ZwCreateKey(&Key, KEY_ALL_ACCESS, &Attributes, 0, NULL, REG_OPTION_VOLATILE, NULL)))
        return;
    RtlInitUnicodeString(&Value, L"Value");
    RtlZeroMemory(Buffer, sizeof(Buffer));
    Note(ZwSetValueKey(Key, &Value, 0, REG_BINARY, Buffer, 100));
    Note(ZwQueryValueKey(Key, &Value, KeyValuePartialInformation, Buffer, sizeof(Buffer), &Length));
    Note(ZwEnumerateValueKey(Key, 0, KeyValueBasicInformation, Buffer, sizeof(Buffer), &Length));
    Note(ZwDeleteValueKey(Key, &Value));
    Note(ZwDeleteKey(Key));
    ZwClose(Key);
}

static VOID ShortThread(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static VOID ThreadsAndObjects(VOID)
{
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Path;
    HANDLE Handle;
    PVOID Object;

    if (Note(PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, ShortThread, NULL))) {
        if (Note(ObReferenceObjectByHandle(Handle, THREAD_ALL_ACCESS, NULL, KernelMode, &Object, NULL))) {
            KeWaitForSingleObject(Object, Executive, KernelMode, FALSE, NULL);
            ObDereferenceObject(Object);
        }
        ZwClose(Handle);
    }
    Name(&Path, &Attributes, L"\\BaseNamedObjects\\LowMemory");
    if (Note(ZwCreateEvent(&Handle, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE)))
        ZwClose(Handle);
    Name(&Path, &Attributes, L"\\LowMemoryDirectory");
    if (Note(ZwCreateDirectoryObject(&Handle, DIRECTORY_ALL_ACCESS, &Attributes)))
        ZwClose(Handle);
    Name(&Path, &Attributes, L"\\Callback\\LowMemory");
    if (Note(ExCreateCallback((PCALLBACK_OBJECT *)&Object, &Attributes, TRUE, TRUE)))
        ObDereferenceObject(Object);
}

static VOID Requests(PDEVICE_OBJECT Device)
{
    IO_STATUS_BLOCK Status;
    PIO_WORKITEM Item;
    UCHAR Buffer[64];
    KEVENT Event;
    PIRP Irp;
    PMDL Mdl;

    Mdl = IoAllocateMdl(Buffer, sizeof(Buffer), FALSE, FALSE, NULL);
    Note(Mdl == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS);
    if (Mdl != NULL)
        IoFreeMdl(Mdl);
    Item = IoAllocateWorkItem(Device);
    Note(Item == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS);
    if (Item != NULL)
        IoFreeWorkItem(Item);
    Irp = IoAllocateIrp(9, FALSE);
    Note(Irp == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS);
    if (Irp != NULL)
        IoFreeIrp(Irp);
    /* The default dispatch routine refuses it; what its buffers take comes and goes. */
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    Irp = IoBuildDeviceIoControlRequest(0x222000, Device, Buffer, sizeof(Buffer), Buffer, sizeof(Buffer), FALSE, &Event, &Status);
    Note(Irp == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS);
    if (Irp != NULL && IoCallDriver(Device, Irp) == STATUS_PENDING)
        KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
}

static VOID Devices(PDRIVER_OBJECT Driver)
{
    UNICODE_STRING Path, Link;
    PDEVICE_OBJECT Device;

    RtlInitUnicodeString(&Path, L"\\Device\\LowMemory");
    RtlInitUnicodeString(&Link, L"\\DosDevices\\LowMemory");
    if (!Note(IoCreateDevice(Driver, 100, &Path, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device)))
        return;
    Device->Flags &= ~DO_DEVICE_INITIALIZING;
    if (Note(IoCreateSymbolicLink(&Link, &Path))) {
        PFILE_OBJECT File;
        PDEVICE_OBJECT Found;

        if (Note(IoGetDeviceObjectPointer(&Path, FILE_READ_DATA, &File, &Found)))
            ObDereferenceObject(File);
        IoDeleteSymbolicLink(&Link);
    }
    Requests(Device);
    IoDeleteDevice(Device);
}

static VOID Unload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->DriverUnload = Unload;
    for (ULONG Round = 0; Round < ROUNDS; ++Round) {
        PVOID Block = ExAllocatePoolWithTag(PagedPool, 100, TAG);

        if (Block != NULL)
            ExFreePoolWithTag(Block, TAG);
        Files();
        Keys();
        ThreadsAndObjects();
        Devices(Driver);
    }
    DbgPrint("low_memory: %u calls succeeded, %u were refused\n", Succeeded, Refused);
    return STATUS_SUCCESS;
}
