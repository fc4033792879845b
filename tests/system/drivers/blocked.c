/* One thread owns a lock of every kind and waits for threads that wait for them: then the machine is stopped. */
#include <ntifs.h>

#define LOCKS 5

static FAST_MUTEX FastMutex;
static KGUARDED_MUTEX GuardedMutex;
static EX_PUSH_LOCK PushLock;
static ERESOURCE Resource;
static KMUTEX Mutex;

static VOID NTAPI WaitForFastMutex(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    ExAcquireFastMutex(&FastMutex);
    ExReleaseFastMutex(&FastMutex);
}

static VOID NTAPI WaitForGuardedMutex(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    KeAcquireGuardedMutex(&GuardedMutex);
    KeReleaseGuardedMutex(&GuardedMutex);
}

static VOID NTAPI WaitForPushLock(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    KeEnterCriticalRegion();
    ExAcquirePushLockExclusive(&PushLock);
    ExReleasePushLockExclusive(&PushLock);
    KeLeaveCriticalRegion();
}

static VOID NTAPI WaitForResource(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    KeEnterCriticalRegion();
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    ExReleaseResourceLite(&Resource);
    KeLeaveCriticalRegion();
}

static VOID NTAPI WaitForMutex(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&Mutex, Executive, KernelMode, FALSE, NULL);
    KeReleaseMutex(&Mutex, FALSE);
}

static KSTART_ROUTINE *const Waiters[LOCKS] = {WaitForFastMutex, WaitForGuardedMutex, WaitForPushLock, WaitForResource,
                                               WaitForMutex};

static BOOLEAN AllWait(void)
{
    /* A waiter of a mutex is counted from bit 2 up, of a push lock in bit 1. */
    return *(volatile LONG *)&FastMutex.Count >= 4 && *(volatile LONG *)&GuardedMutex.Count >= 4 &&
           (*(volatile EX_PUSH_LOCK *)&PushLock & 2) != 0 && ExGetExclusiveWaiterCount(&Resource) == 1 &&
           Mutex.Header.WaitListHead.Flink != &Mutex.Header.WaitListHead;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    LARGE_INTEGER Interval;
    HANDLE Thread;
    ULONG i;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    ExInitializeFastMutex(&FastMutex);
    KeInitializeGuardedMutex(&GuardedMutex);
    ExInitializePushLock(&PushLock);
    ExInitializeResourceLite(&Resource);
    KeInitializeMutex(&Mutex, 0);
    KeEnterCriticalRegion();
    ExAcquireFastMutexUnsafe(&FastMutex);
    KeAcquireGuardedMutexUnsafe(&GuardedMutex);
    ExAcquirePushLockExclusive(&PushLock);
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    KeWaitForSingleObject(&Mutex, Executive, KernelMode, FALSE, NULL);
    for (i = 0; i < LOCKS; i++)
        if (NT_SUCCESS(PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, Waiters[i], NULL)))
            ZwClose(Thread);
    Interval.QuadPart = -100000;
    while (!AllWait())
        KeDelayExecutionThread(KernelMode, FALSE, &Interval);
    /* On the only processor each of them runs on, from being counted to waiting, before this thread runs again. */
    KeDelayExecutionThread(KernelMode, FALSE, &Interval);
    KeBugCheckEx(MANUALLY_INITIATED_CRASH, 0, 0, 0, 0);
}
