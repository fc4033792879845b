/*
 * A driver that cannot be stopped: unload waits for two threads that never end, one that waits for an event that nobody
 * sets, one that spins at DISPATCH_LEVEL.
 */
#include <ntifs.h>

static KEVENT Never;
static volatile LONG NeverSet;
static PETHREAD Threads[2];

static void WaitingThread(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&Never, Executive, KernelMode, FALSE, NULL);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static void SpinningThread(PVOID Context)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Context);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    while (!NeverSet)
        YieldProcessor();
    KeLowerIrql(OldIrql);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static NTSTATUS StartThread(PKSTART_ROUTINE Routine, PETHREAD *Thread)
{
    HANDLE Handle;
    NTSTATUS Status = PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Routine, NULL);

    if (!NT_SUCCESS(Status))
        return Status;
    Status = ObReferenceObjectByHandle(Handle, THREAD_ALL_ACCESS, *PsThreadType, KernelMode, (PVOID *)Thread, NULL);
    ZwClose(Handle);
    return Status;
}

static void Unload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Threads); ++Index) {
        if (Threads[Index] == NULL)
            continue;
        KeWaitForSingleObject(Threads[Index], Executive, KernelMode, FALSE, NULL);
        ObDereferenceObject(Threads[Index]);
    }
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->DriverUnload = Unload;
    KeInitializeEvent(&Never, NotificationEvent, FALSE);
    Status = StartThread(WaitingThread, &Threads[0]);
    if (!NT_SUCCESS(Status))
        return Status;
    /* The first thread uses this image and never ends: from here on the driver must stay. */
    StartThread(SpinningThread, &Threads[1]);
    return STATUS_SUCCESS;
}
