/*
 * Instructions of an uncontended acquire and release. Each pair is a routine that calls both; a routine alike that calls two
 * others which only return takes off what the caller itself executes. So the figure is that of the two routines, with their
 * returns, and with the writes of CR8 they make (two, except where the name says otherwise).
 */
#include "lock_bench.h"

#define ROUNDS 1000
#define RETURNS 2 /* of the empty routines, which the real ones have too */

static KSPIN_LOCK Spin;
static EX_SPIN_LOCK Shared;
static KLOCK_QUEUE_HANDLE Queue;
static KIRQL OldIrql;
static FAST_MUTEX Fast;
static KGUARDED_MUTEX Guarded;
static KMUTEX Mutex;
static KSEMAPHORE Semaphore;
static KEVENT Event;
static ERESOURCE Resource;
static EX_PUSH_LOCK PushLock;
static EX_RUNDOWN_REF Rundown;
static IO_REMOVE_LOCK RemoveLock;
static SLIST_HEADER List;
static SLIST_ENTRY Entry;
static LIST_ENTRY Head, Link;
static LARGE_INTEGER Zero;
static NPAGED_LOOKASIDE_LIST Lookaside;

/* They only return; called as imports are, so that the calls themselves cost the same (empty.c). */
__declspec(dllimport) KIRQL EmptyAcquire(PKSPIN_LOCK SpinLock);
__declspec(dllimport) VOID EmptyRelease(PKSPIN_LOCK SpinLock, KIRQL NewIrql);

static VOID EmptyPair(VOID)
{
    EmptyRelease(&Spin, EmptyAcquire(&Spin));
}

static VOID PlainPair(VOID)
{
    KeReleaseSpinLock(&Spin, KeAcquireSpinLockRaiseToDpc(&Spin));
}

static VOID PlainAtDpcPair(VOID)
{
    KeAcquireSpinLockAtDpcLevel(&Spin);
    KeReleaseSpinLockFromDpcLevel(&Spin);
}

static VOID QueuedPair(VOID)
{
    KeAcquireInStackQueuedSpinLock(&Spin, &Queue);
    KeReleaseInStackQueuedSpinLock(&Queue);
}

static VOID NumberedPair(VOID)
{
    KeReleaseQueuedSpinLock(LockQueueUnusedSpare15, KeAcquireQueuedSpinLock(LockQueueUnusedSpare15));
}

static VOID ExclusivePair(VOID)
{
    ExReleaseSpinLockExclusive(&Shared, ExAcquireSpinLockExclusive(&Shared));
}

static VOID SharedPair(VOID)
{
    ExReleaseSpinLockShared(&Shared, ExAcquireSpinLockShared(&Shared));
}

static VOID CancelPair(VOID)
{
    IoAcquireCancelSpinLock(&OldIrql);
    IoReleaseCancelSpinLock(OldIrql);
}

static VOID InterlockedListPair(VOID)
{
    ExInterlockedInsertTailList(&Head, &Link, &Spin);
    ExInterlockedRemoveHeadList(&Head, &Spin);
}

static VOID SListPair(VOID)
{
    ExpInterlockedPushEntrySList(&List, &Entry);
    ExpInterlockedPopEntrySList(&List);
}

static VOID FastMutexPair(VOID)
{
    ExAcquireFastMutex(&Fast);
    ExReleaseFastMutex(&Fast);
}

static VOID GuardedMutexPair(VOID)
{
    KeAcquireGuardedMutex(&Guarded);
    KeReleaseGuardedMutex(&Guarded);
}

static VOID MutexPair(VOID)
{
    KeWaitForSingleObject(&Mutex, Executive, KernelMode, FALSE, NULL);
    KeReleaseMutex(&Mutex, FALSE);
}

static VOID SemaphorePair(VOID)
{
    KeWaitForSingleObject(&Semaphore, Executive, KernelMode, FALSE, NULL);
    KeReleaseSemaphore(&Semaphore, IO_NO_INCREMENT, 1, FALSE);
}

static VOID EventPair(VOID)
{
    KeSetEvent(&Event, IO_NO_INCREMENT, FALSE);
    KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, &Zero);
}

static VOID ResourceExclusivePair(VOID)
{
    ExAcquireResourceExclusiveLite(&Resource, TRUE);
    ExReleaseResourceLite(&Resource);
}

static VOID ResourceSharedPair(VOID)
{
    ExAcquireResourceSharedLite(&Resource, TRUE);
    ExReleaseResourceLite(&Resource);
}

static VOID PushLockExclusivePair(VOID)
{
    ExAcquirePushLockExclusive(&PushLock);
    ExReleasePushLockExclusive(&PushLock);
}

static VOID PushLockSharedPair(VOID)
{
    ExAcquirePushLockShared(&PushLock);
    ExReleasePushLockShared(&PushLock);
}

static VOID RundownPair(VOID)
{
    ExAcquireRundownProtection(&Rundown);
    ExReleaseRundownProtection(&Rundown);
}

static VOID RemoveLockPair(VOID)
{
    IoAcquireRemoveLock(&RemoveLock, &Event);
    IoReleaseRemoveLock(&RemoveLock, &Event);
}

static VOID LookasidePair(VOID)
{
    ExFreeToNPagedLookasideList(&Lookaside, ExAllocateFromNPagedLookasideList(&Lookaside));
}

__attribute__((noinline)) static ULONG64 Time(VOID (*Pair)(VOID))
{
    ULONG64 Start = __rdtsc();

    for (ULONG Round = 0; Round < ROUNDS; ++Round)
        Pair();
    return __rdtsc() - Start;
}

/* The quickest of three: a clock tick may fall into one. */
static ULONG64 Quickest(VOID (*Pair)(VOID))
{
    ULONG64 Best = ~0ULL;

    for (ULONG Try = 0; Try < 3; ++Try) {
        ULONG64 Taken = Time(Pair);

        if (Taken < Best)
            Best = Taken;
    }
    return Best;
}

static VOID Count(const char *What, VOID (*Pair)(VOID), ULONG64 Base)
{
    DbgPrint("lock_bench: pair %s = %u\n", What, (ULONG)((Quickest(Pair) - Base + ROUNDS / 2) / ROUNDS) + RETURNS);
}

static VOID Initialize(VOID)
{
    KeInitializeSpinLock(&Spin);
    ExInitializeFastMutex(&Fast);
    KeInitializeGuardedMutex(&Guarded);
    KeInitializeMutex(&Mutex, 0);
    KeInitializeSemaphore(&Semaphore, 1, 1);
    KeInitializeEvent(&Event, SynchronizationEvent, FALSE);
    ExInitializeResourceLite(&Resource);
    ExInitializeRundownProtection(&Rundown);
    IoInitializeRemoveLock(&RemoveLock, 'hcnB', 0, 0);
    ExInitializeSListHead(&List);
    InitializeListHead(&Head);
    ExInitializeNPagedLookasideList(&Lookaside, NULL, NULL, 0, 64, 'hcnB', 0);
}

VOID CountPairs(VOID)
{
    ULONG64 Base;

    Initialize();
    Time(PlainPair);
    Base = Quickest(EmptyPair);
    Count("plain", PlainPair, Base);
    Count("queued in-stack", QueuedPair, Base);
    Count("queued numbered", NumberedPair, Base);
    Count("shared exclusively", ExclusivePair, Base);
    Count("shared shared", SharedPair, Base);
    Count("cancel", CancelPair, Base);
    Count("ExInterlocked list insert and remove", InterlockedListPair, Base);
    Count("S-list push and pop", SListPair, Base);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    Count("plain AtDpcLevel", PlainAtDpcPair, Base);
    KeLowerIrql(OldIrql);
    Count("fast mutex", FastMutexPair, Base);
    Count("guarded mutex", GuardedMutexPair, Base);
    Count("rundown protection", RundownPair, Base);
    Count("remove lock", RemoveLockPair, Base);
    Count("lookaside list", LookasidePair, Base);
    Count("KMUTEX", MutexPair, Base);
    Count("KSEMAPHORE", SemaphorePair, Base);
    Count("KEVENT set and wait", EventPair, Base);
    KeEnterCriticalRegion();
    Count("ERESOURCE exclusively", ResourceExclusivePair, Base);
    Count("ERESOURCE shared", ResourceSharedPair, Base);
    Count("push lock exclusively", PushLockExclusivePair, Base);
    Count("push lock shared", PushLockSharedPair, Base);
    KeLeaveCriticalRegion();
    ExDeleteNPagedLookasideList(&Lookaside);
    ExDeleteResourceLite(&Resource);
}
