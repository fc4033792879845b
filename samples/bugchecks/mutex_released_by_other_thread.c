/* A mutex is released by a thread that does not own it: the routine raises STATUS_MUTANT_NOT_OWNED, which nobody handles. */
#include <ntddk.h>

static KMUTEX Mutex;
static KEVENT Taken, MayEnd;

static VOID Owner(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&Mutex, Executive, KernelMode, FALSE, NULL);
    KeSetEvent(&Taken, 0, FALSE);
    KeWaitForSingleObject(&MayEnd, Executive, KernelMode, FALSE, NULL);
    KeReleaseMutex(&Mutex, FALSE);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    HANDLE Thread;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeMutex(&Mutex, 0);
    KeInitializeEvent(&Taken, NotificationEvent, FALSE);
    KeInitializeEvent(&MayEnd, NotificationEvent, FALSE);
    PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, Owner, NULL);
    KeWaitForSingleObject(&Taken, Executive, KernelMode, FALSE, NULL);
    KeReleaseMutex(&Mutex, FALSE);
    KeSetEvent(&MayEnd, 0, FALSE);
    return STATUS_UNSUCCESSFUL;
}
