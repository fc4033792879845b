/*
 * A driver that never misbehaves: a device with a symbolic link, a timer whose DPC counts, a thread that waits for the
 * timer and for the order to end, and an unload that leaves nothing behind.
 */
#include <ntddk.h>

#define TICK_PERIOD_MS 10
#define GOOD_TAG 'dooG'

typedef struct _GOOD_EXTENSION {
    KTIMER Timer;
    KDPC Dpc;
    KEVENT Tick;
    KEVENT Stop;
    KSPIN_LOCK Lock;
    ULONG Ticks; /* guarded by Lock */
    PKTHREAD Thread;
    PULONG Log; /* nonpaged pool */
} GOOD_EXTENSION, *PGOOD_EXTENSION;

static UNICODE_STRING DeviceName = RTL_CONSTANT_STRING(L"\\Device\\BugcheckGood");
static UNICODE_STRING LinkName = RTL_CONSTANT_STRING(L"\\DosDevices\\BugcheckGood");

static void TimerDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PGOOD_EXTENSION Good = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    KeAcquireSpinLockAtDpcLevel(&Good->Lock);
    ++Good->Ticks;
    KeReleaseSpinLockFromDpcLevel(&Good->Lock);
    KeSetEvent(&Good->Tick, IO_NO_INCREMENT, FALSE);
}

static void WorkerThread(PVOID Context)
{
    PGOOD_EXTENSION Good = Context;
    PVOID Events[2] = {&Good->Stop, &Good->Tick};
    KIRQL OldIrql;

    while (KeWaitForMultipleObjects(2, Events, WaitAny, Executive, KernelMode, FALSE, NULL, NULL) != STATUS_WAIT_0) {
        KeAcquireSpinLock(&Good->Lock, &OldIrql);
        *Good->Log = Good->Ticks;
        KeReleaseSpinLock(&Good->Lock, OldIrql);
    }
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static NTSTATUS CreateOrClose(PDEVICE_OBJECT Device, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Device);
    Irp->IoStatus.Status = STATUS_SUCCESS;
    Irp->IoStatus.Information = 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_SUCCESS;
}

static NTSTATUS StartThread(PGOOD_EXTENSION Good)
{
    HANDLE Handle;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, WorkerThread, Good);

    if (!NT_SUCCESS(Status))
        return Status;
    Status = ObReferenceObjectByHandle(Handle, THREAD_ALL_ACCESS, *PsThreadType, KernelMode, (PVOID *)&Good->Thread, NULL);
    ZwClose(Handle);
    return Status;
}

static void Unload(PDRIVER_OBJECT Driver)
{
    PGOOD_EXTENSION Good = Driver->DeviceObject->DeviceExtension;

    KeCancelTimer(&Good->Timer);
    KeFlushQueuedDpcs();
    KeSetEvent(&Good->Stop, IO_NO_INCREMENT, FALSE);
    KeWaitForSingleObject(Good->Thread, Executive, KernelMode, FALSE, NULL);
    ObDereferenceObject(Good->Thread);
    DbgPrint("good: %u ticks\n", *Good->Log);
    ExFreePoolWithTag(Good->Log, GOOD_TAG);
    IoDeleteSymbolicLink(&LinkName);
    IoDeleteDevice(Driver->DeviceObject);
}

static NTSTATUS SetUp(PGOOD_EXTENSION Good)
{
    LARGE_INTEGER Due;
    NTSTATUS Status;

    KeInitializeSpinLock(&Good->Lock);
    KeInitializeEvent(&Good->Tick, SynchronizationEvent, FALSE);
    KeInitializeEvent(&Good->Stop, NotificationEvent, FALSE);
    KeInitializeTimer(&Good->Timer);
    KeInitializeDpc(&Good->Dpc, TimerDpc, Good);
    Good->Log = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(ULONG), GOOD_TAG);
    if (Good->Log == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    *Good->Log = 0;
    Status = StartThread(Good);
    if (!NT_SUCCESS(Status)) {
        ExFreePoolWithTag(Good->Log, GOOD_TAG);
        return Status;
    }
    Due.QuadPart = -10000LL * TICK_PERIOD_MS;
    KeSetTimerEx(&Good->Timer, Due, TICK_PERIOD_MS, &Good->Dpc);
    return STATUS_SUCCESS;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->DriverUnload = Unload;
    Driver->MajorFunction[IRP_MJ_CREATE] = CreateOrClose;
    Driver->MajorFunction[IRP_MJ_CLOSE] = CreateOrClose;
    Status = IoCreateDevice(Driver, sizeof(GOOD_EXTENSION), &DeviceName, FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN,
                            FALSE, &Device);
    if (!NT_SUCCESS(Status))
        return Status;
    Status = IoCreateSymbolicLink(&LinkName, &DeviceName);
    if (NT_SUCCESS(Status)) {
        Status = SetUp(Device->DeviceExtension);
        if (!NT_SUCCESS(Status))
            IoDeleteSymbolicLink(&LinkName);
    }
    if (!NT_SUCCESS(Status))
        IoDeleteDevice(Device);
    return Status;
}
