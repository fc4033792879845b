/* A thread takes a push lock, leaves the critical region on an error path and ends; the release is missing. It is found
   when the last reference to the thread goes. */
#include <ntifs.h>

static EX_PUSH_LOCK Lock;
static KEVENT Start;

static VOID NTAPI Worker(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&Start, Executive, KernelMode, FALSE, NULL);
    KeEnterCriticalRegion();
    ExAcquirePushLockExclusive(&Lock);
    KeLeaveCriticalRegion();
    PsTerminateSystemThread(STATUS_INSUFFICIENT_RESOURCES);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    HANDLE Thread;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    ExInitializePushLock(&Lock);
    KeInitializeEvent(&Start, NotificationEvent, FALSE);
    Status = PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, NULL);
    if (!NT_SUCCESS(Status))
        return Status;
    ZwClose(Thread);
    KeSetEvent(&Start, 0, FALSE);
    return STATUS_SUCCESS;
}
