/* A thread ends inside a routine of KeExpandKernelStackAndCallout: the stack that it was lent is still in use. */
#include <ntddk.h>

static KEVENT Never;

static VOID NTAPI Callout(PVOID Parameter)
{
    UNREFERENCED_PARAMETER(Parameter);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static void Worker(PVOID Context)
{
    KeExpandKernelStackAndCallout(Callout, Context, MAXIMUM_EXPANSION_SIZE);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    HANDLE Thread;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeEvent(&Never, NotificationEvent, FALSE);
    Status = PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, NULL);
    if (!NT_SUCCESS(Status))
        return Status;
    return KeWaitForSingleObject(&Never, Executive, KernelMode, FALSE, NULL);
}
