/*
 * A pipe of messages with a cancel-safe queue (IoCsq*): a read without a message waits in the queue, a write completes the
 * oldest waiting read or keeps its message for the next one. Waiting reads end by a message, by cancellation, or when
 * their handle is closed.
 */
#include "../named_device.h"

#define CANCEL_QUEUE_TAG 'QnaC'
#define MAXIMUM_MESSAGES 256
#define MAXIMUM_MESSAGE 4096

typedef struct _MESSAGE {
    LIST_ENTRY Link;
    ULONG Length;
    UCHAR Bytes[ANYSIZE_ARRAY];
} MESSAGE, *PMESSAGE;

typedef struct _QUEUE_EXTENSION {
    IO_CSQ Csq;
    KSPIN_LOCK Lock; /* guards both lists; taken by the IoCsq routines through Acquire and Release */
    LIST_ENTRY Reads;
    LIST_ENTRY Messages;
    ULONG MessageCount;
} QUEUE_EXTENSION, *PQUEUE_EXTENSION;

static UNICODE_STRING DeviceName = RTL_CONSTANT_STRING(L"\\Device\\CancelQueue");
static UNICODE_STRING LinkName = RTL_CONSTANT_STRING(L"\\DosDevices\\CancelQueue");

static VOID NTAPI CsqInsert(PIO_CSQ Csq, PIRP Irp)
{
    PQUEUE_EXTENSION Queue = CONTAINING_RECORD(Csq, QUEUE_EXTENSION, Csq);

    InsertTailList(&Queue->Reads, &Irp->Tail.Overlay.ListEntry);
}

static VOID NTAPI CsqRemove(PIO_CSQ Csq, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Csq);
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
}

/* The next read behind `Irp` (NULL: the first); Context, when given, is the file object whose reads are wanted. */
static PIRP NTAPI CsqPeek(PIO_CSQ Csq, PIRP Irp, PVOID Context)
{
    PQUEUE_EXTENSION Queue = CONTAINING_RECORD(Csq, QUEUE_EXTENSION, Csq);
    PLIST_ENTRY Link = Irp != NULL ? Irp->Tail.Overlay.ListEntry.Flink : Queue->Reads.Flink;

    for (; Link != &Queue->Reads; Link = Link->Flink) {
        PIRP Next = CONTAINING_RECORD(Link, IRP, Tail.Overlay.ListEntry);
        if (Context == NULL || IoGetCurrentIrpStackLocation(Next)->FileObject == Context)
            return Next;
    }
    return NULL;
}

static VOID NTAPI CsqAcquire(PIO_CSQ Csq, PKIRQL Irql)
{
    KeAcquireSpinLock(&CONTAINING_RECORD(Csq, QUEUE_EXTENSION, Csq)->Lock, Irql);
}

static VOID NTAPI CsqRelease(PIO_CSQ Csq, KIRQL Irql)
{
    KeReleaseSpinLock(&CONTAINING_RECORD(Csq, QUEUE_EXTENSION, Csq)->Lock, Irql);
}

static void Complete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
}

static VOID NTAPI CsqCompleteCanceled(PIO_CSQ Csq, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Csq);
    Complete(Irp, STATUS_CANCELLED, 0);
}

static void Deliver(PIRP Irp, PMESSAGE Message)
{
    ULONG Room = IoGetCurrentIrpStackLocation(Irp)->Parameters.Read.Length;
    ULONG Bytes = Message->Length < Room ? Message->Length : Room;

    if (Bytes != 0)
        RtlCopyMemory(Irp->AssociatedIrp.SystemBuffer, Message->Bytes, Bytes);
    Complete(Irp, Bytes < Message->Length ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS, Bytes);
    ExFreePoolWithTag(Message, CANCEL_QUEUE_TAG);
}

static PMESSAGE TakeMessage(PQUEUE_EXTENSION Queue)
{
    PMESSAGE Message = NULL;
    KIRQL Irql;

    KeAcquireSpinLock(&Queue->Lock, &Irql);
    if (!IsListEmpty(&Queue->Messages)) {
        Message = CONTAINING_RECORD(RemoveHeadList(&Queue->Messages), MESSAGE, Link);
        --Queue->MessageCount;
    }
    KeReleaseSpinLock(&Queue->Lock, Irql);
    return Message;
}

/* FALSE: too many wait already. */
static BOOLEAN PutMessage(PQUEUE_EXTENSION Queue, PMESSAGE Message, BOOLEAN First)
{
    BOOLEAN Room;
    KIRQL Irql;

    KeAcquireSpinLock(&Queue->Lock, &Irql);
    Room = First || Queue->MessageCount < MAXIMUM_MESSAGES;
    if (Room) {
        ++Queue->MessageCount;
        if (First)
            InsertHeadList(&Queue->Messages, &Message->Link);
        else
            InsertTailList(&Queue->Messages, &Message->Link);
    }
    KeReleaseSpinLock(&Queue->Lock, Irql);
    return Room;
}

static BOOLEAN ReadsWait(PQUEUE_EXTENSION Queue)
{
    BOOLEAN Wait;
    KIRQL Irql;

    KeAcquireSpinLock(&Queue->Lock, &Irql);
    Wait = !IsListEmpty(&Queue->Reads);
    KeReleaseSpinLock(&Queue->Lock, Irql);
    return Wait;
}

/* Brings waiting reads and waiting messages together. */
static void Match(PQUEUE_EXTENSION Queue)
{
    for (;;) {
        PMESSAGE Message = TakeMessage(Queue);
        PIRP Irp;

        if (Message == NULL)
            return;
        Irp = IoCsqRemoveNextIrp(&Queue->Csq, NULL);
        if (Irp == NULL) {
            PutMessage(Queue, Message, TRUE);
            /* A read may have come in between, and have found no message. */
            if (!ReadsWait(Queue))
                return;
            continue;
        }
        Deliver(Irp, Message);
    }
}

static NTSTATUS Read(PDEVICE_OBJECT Device, PIRP Irp)
{
    PQUEUE_EXTENSION Queue = Device->DeviceExtension;

    IoCsqInsertIrp(&Queue->Csq, Irp, NULL); /* marks it pending */
    Match(Queue);
    return STATUS_PENDING;
}

static NTSTATUS Write(PDEVICE_OBJECT Device, PIRP Irp)
{
    PQUEUE_EXTENSION Queue = Device->DeviceExtension;
    ULONG Length = IoGetCurrentIrpStackLocation(Irp)->Parameters.Write.Length;
    NTSTATUS Status = STATUS_SUCCESS;
    PMESSAGE Message;

    Message = Length <= MAXIMUM_MESSAGE
                  ? ExAllocatePoolWithTag(NonPagedPoolNx, FIELD_OFFSET(MESSAGE, Bytes) + Length + 1, CANCEL_QUEUE_TAG)
                  : NULL;
    if (Message == NULL) {
        Status = Length <= MAXIMUM_MESSAGE ? STATUS_INSUFFICIENT_RESOURCES : STATUS_INVALID_PARAMETER;
    } else {
        Message->Length = Length;
        if (Length != 0)
            RtlCopyMemory(Message->Bytes, Irp->AssociatedIrp.SystemBuffer, Length);
        if (!PutMessage(Queue, Message, FALSE)) {
            ExFreePoolWithTag(Message, CANCEL_QUEUE_TAG);
            Status = STATUS_DEVICE_BUSY;
        }
    }
    Complete(Irp, Status, NT_SUCCESS(Status) ? Length : 0);
    if (NT_SUCCESS(Status))
        Match(Queue);
    return Status;
}

/* The last handle of a file is closed: its reads end. */
static NTSTATUS Cleanup(PDEVICE_OBJECT Device, PIRP Irp)
{
    PQUEUE_EXTENSION Queue = Device->DeviceExtension;
    PFILE_OBJECT File = IoGetCurrentIrpStackLocation(Irp)->FileObject;
    PIRP Waiting;

    while ((Waiting = IoCsqRemoveNextIrp(&Queue->Csq, File)) != NULL)
        Complete(Waiting, STATUS_CANCELLED, 0);
    Complete(Irp, STATUS_SUCCESS, 0);
    return STATUS_SUCCESS;
}

static NTSTATUS CreateOrClose(PDEVICE_OBJECT Device, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Device);
    Complete(Irp, STATUS_SUCCESS, 0);
    return STATUS_SUCCESS;
}

static void Unload(PDRIVER_OBJECT Driver)
{
    PQUEUE_EXTENSION Queue = Driver->DeviceObject->DeviceExtension;
    PMESSAGE Message;

    while ((Message = TakeMessage(Queue)) != NULL)
        ExFreePoolWithTag(Message, CANCEL_QUEUE_TAG);
    DeleteNamedDevice(Driver->DeviceObject, &LinkName);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PQUEUE_EXTENSION Queue;
    PDEVICE_OBJECT Device;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->DriverUnload = Unload;
    Driver->MajorFunction[IRP_MJ_CREATE] = CreateOrClose;
    Driver->MajorFunction[IRP_MJ_CLOSE] = CreateOrClose;
    Driver->MajorFunction[IRP_MJ_CLEANUP] = Cleanup;
    Driver->MajorFunction[IRP_MJ_READ] = Read;
    Driver->MajorFunction[IRP_MJ_WRITE] = Write;
    Status = CreateNamedDevice(Driver, sizeof(QUEUE_EXTENSION), &DeviceName, &LinkName, &Device);
    if (!NT_SUCCESS(Status))
        return Status;
    Queue = Device->DeviceExtension; /* nobody opens the device while it initializes */
    KeInitializeSpinLock(&Queue->Lock);
    InitializeListHead(&Queue->Reads);
    InitializeListHead(&Queue->Messages);
    Status = IoCsqInitialize(&Queue->Csq, CsqInsert, CsqRemove, CsqPeek, CsqAcquire, CsqRelease, CsqCompleteCanceled);
    if (!NT_SUCCESS(Status)) {
        DeleteNamedDevice(Device, &LinkName);
        return Status;
    }
    Device->Flags |= DO_BUFFERED_IO;
    return STATUS_SUCCESS;
}
