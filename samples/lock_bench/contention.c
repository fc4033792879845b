/*
 * All processors want one lock all the time: how long a hand-over takes, and how evenly it goes round (per mille: acquisitions of
 * the slowest processor over those of the fastest). The count begins when each processor has had the lock once: where the host
 * has fewer processors than the machine, those that it runs first would else have it to themselves for a while.
 */
#include "lock_bench.h"

#define MAXIMUM 64
#define MILLISECONDS 400
#define MILLISECONDS_ALONE 20 /* one processor: nobody contends, and under -icount time is dear */

typedef enum { Plain, Queued, SharedExclusive, SharedShared, Families } FAMILY;

static const char *const Names[Families] = {"plain", "queued", "shared exclusively", "shared shared"};

typedef struct {
    DECLSPEC_ALIGN(64) KSPIN_LOCK Spin;
    DECLSPEC_ALIGN(64) EX_SPIN_LOCK Shared;
    DECLSPEC_ALIGN(64) volatile LONG64 Counter;
    FAMILY Family;
    ULONG Processors;
    ULONG Milliseconds;
    ULONG64 End; /* interrupt time; 0 before the count begins */
    volatile LONG Entered; /* processors that have had the lock */
} CONTEST;

typedef struct {
    CONTEST *Contest;
    ULONG Processor;
    DECLSPEC_ALIGN(64) ULONG64 Early; /* rounds before the count began */
    ULONG64 Rounds;
} CONTENDER;

static VOID Round(CONTEST *Contest)
{
    KLOCK_QUEUE_HANDLE Queue;
    KIRQL OldIrql;

    switch (Contest->Family) {
    case Plain:
        KeAcquireSpinLock(&Contest->Spin, &OldIrql);
        Contest->Counter = Contest->Counter + 1;
        KeReleaseSpinLock(&Contest->Spin, OldIrql);
        break;
    case Queued:
        KeAcquireInStackQueuedSpinLock(&Contest->Spin, &Queue);
        Contest->Counter = Contest->Counter + 1;
        KeReleaseInStackQueuedSpinLock(&Queue);
        break;
    case SharedExclusive:
        OldIrql = ExAcquireSpinLockExclusive(&Contest->Shared);
        Contest->Counter = Contest->Counter + 1;
        ExReleaseSpinLockExclusive(&Contest->Shared, OldIrql);
        break;
    default:
        OldIrql = ExAcquireSpinLockShared(&Contest->Shared);
        InterlockedIncrement64(&Contest->Counter);
        ExReleaseSpinLockShared(&Contest->Shared, OldIrql);
        break;
    }
}

static VOID Contend(PVOID Context)
{
    CONTENDER *Contender = Context;
    CONTEST *Contest = Contender->Contest;
    volatile ULONG64 *End = &Contest->End;

    KeSetSystemAffinityThread((KAFFINITY)1 << Contender->Processor);
    Round(Contest);
    Contender->Early = 1;
    Contender->Rounds = 0;
    if (InterlockedIncrement(&Contest->Entered) == (LONG)Contest->Processors)
        *End = KeQueryInterruptTime() + Contest->Milliseconds * 10000ULL;
    for (; *End == 0; ++Contender->Early)
        Round(Contest);
    for (; KeQueryInterruptTime() < *End; ++Contender->Rounds)
        Round(Contest);
    KeRevertToUserAffinityThread();
}

static VOID Report(const CONTEST *Contest, const CONTENDER *Contenders)
{
    ULONG64 Total = 0, Early = 0, Slowest = ~0ULL, Fastest = 1;

    for (ULONG i = 0; i < Contest->Processors; ++i) {
        Total += Contenders[i].Rounds;
        Early += Contenders[i].Early;
        Slowest = min(Slowest, Contenders[i].Rounds);
        Fastest = max(Fastest, Contenders[i].Rounds);
    }
    if ((ULONG64)Contest->Counter != Total + Early)
        DbgPrint("lock_bench: ERROR %s: %I64u counted, %I64u rounds\n", Names[Contest->Family], Contest->Counter, Total + Early);
    DbgPrint("lock_bench: %s: %I64u rounds, slowest %I64u, fastest %I64u\n", Names[Contest->Family], Total, Slowest, Fastest);
    DbgPrint("lock_bench: contended %s hand-over ns = %I64u\n", Names[Contest->Family],
             Contest->Milliseconds * 1000000ULL / max(Total, 1));
    DbgPrint("lock_bench: contended %s fairness per mille = %I64u\n", Names[Contest->Family], 1000 * Slowest / Fastest);
}

VOID MeasureContention(VOID)
{
    static CONTEST Contest;
    static CONTENDER Contenders[MAXIMUM];
    PVOID Threads[MAXIMUM];

    for (FAMILY Family = Plain; Family < Families; ++Family) {
        RtlZeroMemory(&Contest, sizeof(Contest));
        Contest.Family = Family;
        Contest.Processors = min(KeQueryActiveProcessorCount(NULL), MAXIMUM);
        Contest.Milliseconds = Contest.Processors > 1 ? MILLISECONDS : MILLISECONDS_ALONE;
        for (ULONG i = 0; i < Contest.Processors; ++i) {
            Contenders[i].Contest = &Contest;
            Contenders[i].Processor = i;
            Threads[i] = StartThread(Contend, &Contenders[i]);
        }
        for (ULONG i = 0; i < Contest.Processors; ++i)
            JoinThread(Threads[i]);
        Report(&Contest, Contenders);
    }
}
