/* Context switches, event ping-pong and DPCs: instructions on one processor, nanoseconds between two. */
#include "lock_bench.h"

#define ROUNDS 500

typedef struct {
    KEVENT Ping, Pong;
    KAFFINITY Second; /* where the second thread runs */
    LONG Rounds;
    volatile LONG Yields;
    BOOLEAN Yield;
} PARTNERS;

typedef struct {
    KDPC Dpc;
    volatile LONG64 Entered; /* time stamp or performance counter in the routine */
    BOOLEAN Stamp;
} LATENCY;

/* Runs the present thread where `Affinity` says, with a priority that nothing else in the machine has. */
static VOID SettleOn(KAFFINITY Affinity)
{
    KeSetSystemAffinityThread(Affinity);
    KeSetPriorityThread(KeGetCurrentThread(), LOW_REALTIME_PRIORITY);
}

static VOID Leave(VOID)
{
    KeSetPriorityThread(KeGetCurrentThread(), 8);
    KeRevertToUserAffinityThread();
}

static VOID Partner(PVOID Context)
{
    PARTNERS *Partners = Context;

    SettleOn(Partners->Second);
    KeSetEvent(&Partners->Pong, IO_NO_INCREMENT, FALSE);
    for (LONG Round = 0; Round < Partners->Rounds; ++Round) {
        if (Partners->Yield) {
            ZwYieldExecution();
            continue;
        }
        KeWaitForSingleObject(&Partners->Ping, Executive, KernelMode, FALSE, NULL);
        KeSetEvent(&Partners->Pong, IO_NO_INCREMENT, FALSE);
    }
    Leave();
}

/* Starts the partner and waits until it runs. Result: its thread. */
static PVOID StartPartner(PARTNERS *Partners, KAFFINITY Second, BOOLEAN Yield)
{
    PVOID Thread;

    KeInitializeEvent(&Partners->Ping, SynchronizationEvent, FALSE);
    KeInitializeEvent(&Partners->Pong, SynchronizationEvent, FALSE);
    Partners->Second = Second;
    Partners->Rounds = ROUNDS;
    Partners->Yield = Yield;
    SettleOn(1);
    Thread = StartThread(Partner, Partners);
    if (Thread != NULL)
        KeWaitForSingleObject(&Partners->Pong, Executive, KernelMode, FALSE, NULL);
    return Thread;
}

static VOID PingPong(PARTNERS *Partners)
{
    for (LONG Round = 0; Round < ROUNDS; ++Round) {
        KeSetEvent(&Partners->Ping, IO_NO_INCREMENT, FALSE);
        KeWaitForSingleObject(&Partners->Pong, Executive, KernelMode, FALSE, NULL);
    }
}

static VOID NoteEntry(PKDPC Dpc, PVOID Context, PVOID First, PVOID Second)
{
    LATENCY *Latency = Context;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(First);
    UNREFERENCED_PARAMETER(Second);
    Latency->Entered = Latency->Stamp ? (LONG64)__rdtsc() : KeQueryPerformanceCounter(NULL).QuadPart;
}

/* Mean from KeInsertQueueDpc to the routine's first instructions. */
static ULONG64 DpcLatency(CCHAR Processor, BOOLEAN Stamp)
{
    static LATENCY Latency;
    ULONG64 Sum = 0;

    Latency.Stamp = Stamp;
    KeInitializeDpc(&Latency.Dpc, NoteEntry, &Latency);
    KeSetTargetProcessorDpc(&Latency.Dpc, Processor);
    KeSetImportanceDpc(&Latency.Dpc, HighImportance);
    for (LONG Round = 0; Round < ROUNDS; ++Round) {
        LONG64 Start = Stamp ? (LONG64)__rdtsc() : KeQueryPerformanceCounter(NULL).QuadPart;

        Latency.Entered = 0;
        KeInsertQueueDpc(&Latency.Dpc, NULL, NULL);
        while (Latency.Entered == 0)
            YieldProcessor();
        Sum += (ULONG64)(Latency.Entered - Start);
    }
    return Sum / ROUNDS;
}

VOID CountSwitches(VOID)
{
    static PARTNERS Partners;
    ULONG64 Start;
    PVOID Thread = StartPartner(&Partners, 1, TRUE);

    /* Two threads of one priority that do nothing but yield: each yield is a switch. */
    Start = __rdtsc();
    for (LONG Round = 0; Round < ROUNDS; ++Round)
        ZwYieldExecution();
    DbgPrint("lock_bench: instructions context switch = %u\n", (ULONG)((__rdtsc() - Start) / (2 * ROUNDS)));
    Leave();
    JoinThread(Thread);

    Thread = StartPartner(&Partners, 1, FALSE);
    Start = __rdtsc();
    PingPong(&Partners);
    DbgPrint("lock_bench: instructions event ping-pong = %u\n", (ULONG)((__rdtsc() - Start) / ROUNDS));
    Leave();
    JoinThread(Thread);
    DbgPrint("lock_bench: instructions DPC latency = %u\n", (ULONG)DpcLatency(0, TRUE));
}

VOID MeasureProcessors(VOID)
{
    static PARTNERS Partners;
    ULONG Processors = KeQueryActiveProcessorCount(NULL);
    LARGE_INTEGER Frequency;
    LONG64 Start, Taken;
    ULONG64 Latency;
    PVOID Thread;

    KeQueryPerformanceCounter(&Frequency);
    Thread = StartPartner(&Partners, Processors > 1 ? 2 : 1, FALSE);
    Start = KeQueryPerformanceCounter(NULL).QuadPart;
    PingPong(&Partners);
    Taken = KeQueryPerformanceCounter(NULL).QuadPart - Start;
    JoinThread(Thread);
    DbgPrint("lock_bench: ns event ping-pong = %I64u\n", Taken * 1000000000 / Frequency.QuadPart / ROUNDS);
    Latency = DpcLatency(Processors > 1 ? 1 : 0, FALSE);
    DbgPrint("lock_bench: ns DPC latency = %I64u\n", Latency * 1000000000 / Frequency.QuadPart);
    Leave();
}
