/*
 * Two threads fight over a spin lock, and one of them does file I/O while it holds it.
 *
 * ZwCreateFile needs PASSIVE_LEVEL; a spin lock's owner runs at DISPATCH_LEVEL. The call reaches pageable code of the
 * file system, a page fault at DISPATCH_LEVEL cannot be served, and the machine stops with
 * DRIVER_IRQL_NOT_LESS_OR_EQUAL (0xD1). samples/spinlock_fixed is this driver put right.
 */
#include <ntifs.h>
#include <ntstrsafe.h>

#define FILE_COUNT 1000
#define LINES_PER_FILE 100
#define RIVAL_PATIENCE 200000 /* pauses; about 40 ms */
#define FIGHT_SLICES 400      /* stalls of 50 us: the rival gets 20 ms to begin to spin */

typedef struct _WORKSHOP {
    KSPIN_LOCK Lock;
    ULONG FilesWritten;      /* guarded by Lock */
    ULONG FilesSeen;         /* guarded by Lock */
    volatile LONG Asked;     /* how often the collector went for Lock */
    LONG Served;             /* how often it got Lock; guarded by Lock */
    CHAR Line[64];
} WORKSHOP, *PWORKSHOP;

static void WriteReport(PWORKSHOP Shop, ULONG Number)
{
    WCHAR Name[64];
    UNICODE_STRING Path;
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Status;
    HANDLE File;

    RtlStringCchPrintfW(Name, RTL_NUMBER_OF(Name), L"\\DosDevices\\C:\\Temp\\report_%u.txt", Number);
    RtlInitUnicodeString(&Path, Name);
    InitializeObjectAttributes(&Attributes, &Path, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    if (!NT_SUCCESS(ZwCreateFile(&File, GENERIC_WRITE | SYNCHRONIZE, &Attributes, &Status, NULL, FILE_ATTRIBUTE_NORMAL,
                                 0, FILE_OVERWRITE_IF, FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0)))
        return;
    for (ULONG Line = 0; Line < LINES_PER_FILE; ++Line)
        ZwWriteFile(File, NULL, NULL, NULL, &Status, Shop->Line, (ULONG)strlen(Shop->Line), NULL, NULL);
    ZwClose(File);
    ++Shop->FilesWritten;
}

/* Holds the lock for a thousand files, far beyond the 25 microseconds that a spin lock may be held. */
static void ReporterThread(PVOID Context)
{
    PWORKSHOP Shop = Context;
    KIRQL OldIrql;

    KeAcquireSpinLock(&Shop->Lock, &OldIrql);
    /* Lets the collector come for the lock too, so that there is a fight to look at; on one processor it cannot. */
    for (ULONG Pause = 0; Pause < RIVAL_PATIENCE && Shop->Asked == Shop->Served; ++Pause)
        YieldProcessor();
    for (ULONG Slice = 0; Slice < FIGHT_SLICES && Shop->Asked != Shop->Served; ++Slice)
        KeStallExecutionProcessor(50);
    for (ULONG Number = 0; Number < FILE_COUNT; ++Number)
        WriteReport(Shop, Number);
    KeReleaseSpinLock(&Shop->Lock, OldIrql);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static void CollectorThread(PVOID Context)
{
    PWORKSHOP Shop = Context;
    KIRQL OldIrql;
    BOOLEAN Done = FALSE;

    while (!Done) {
        InterlockedIncrement(&Shop->Asked);
        KeAcquireSpinLock(&Shop->Lock, &OldIrql);
        ++Shop->Served;
        Shop->FilesSeen = Shop->FilesWritten;
        Done = Shop->FilesSeen == FILE_COUNT;
        KeReleaseSpinLock(&Shop->Lock, OldIrql);
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static void Unload(PDRIVER_OBJECT Driver)
{
    IoDeleteDevice(Driver->DeviceObject);
}

static NTSTATUS StartThread(PKSTART_ROUTINE Routine, PWORKSHOP Shop)
{
    HANDLE Thread;
    NTSTATUS Status = PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, Routine, Shop);

    if (NT_SUCCESS(Status))
        ZwClose(Thread);
    return Status;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    PWORKSHOP Shop;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->DriverUnload = Unload;
    Status = IoCreateDevice(Driver, sizeof(WORKSHOP), NULL, FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN, FALSE, &Device);
    if (!NT_SUCCESS(Status))
        return Status;
    Shop = Device->DeviceExtension;
    KeInitializeSpinLock(&Shop->Lock);
    RtlStringCchCopyA(Shop->Line, RTL_NUMBER_OF(Shop->Line), "One line of a report.\r\n");

    Status = StartThread(ReporterThread, Shop);
    if (!NT_SUCCESS(Status)) {
        IoDeleteDevice(Device);
        return Status;
    }
    /* The reporter runs already and uses the extension: without a collector the device stays. */
    StartThread(CollectorThread, Shop);
    return STATUS_SUCCESS;
}
