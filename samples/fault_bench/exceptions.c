/* What an exception costs, in instructions: true under -icount only, where the time stamp counter advances by one each. */
#include "fault_bench.h"

#define ROUNDS 1000

static volatile ULONG Taken;
static volatile NTSTATUS Answer = STATUS_SUCCESS;

__attribute__((noinline)) static VOID Work(VOID)
{
    if (Answer != STATUS_SUCCESS)
        ExRaiseStatus(Answer);
}

__attribute__((noinline)) static VOID Guarded(VOID)
{
    __try {
        Work();
        __asm__ volatile("nop");
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        ++Taken;
    }
}

__attribute__((noinline)) static VOID TouchNothing(VOID)
{
    *(volatile LONG *)16 = 1;
}

__attribute__((noinline)) static VOID GuardedTouch(VOID)
{
    __try {
        TouchNothing();
        __asm__ volatile("nop");
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        ++Taken;
    }
}

/* Levels frames, each with a __finally that runs on the way back. */
__attribute__((noinline)) static VOID Descend(ULONG Levels)
{
    __try {
        if (Levels != 0)
            Descend(Levels - 1);
        else
            Work();
        __asm__ volatile("nop");
    } __finally {
        ++Taken;
    }
}

__attribute__((noinline)) static VOID GuardedDescent(VOID)
{
    __try {
        Descend(9);
        __asm__ volatile("nop");
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        ++Taken;
    }
}

static VOID Count(const char *What, VOID (*Routine)(VOID), ULONG Expected)
{
    ULONG64 Start;

    Taken = 0;
    Start = __rdtsc();
    for (ULONG Round = 0; Round < ROUNDS; ++Round)
        Routine();
    if (Taken != Expected * ROUNDS)
        DbgPrint("fault_bench: ERROR: %s was taken %u times of %u\n", What, Taken, Expected * ROUNDS);
    else
        Report(What, (__rdtsc() - Start) / ROUNDS);
}

VOID CountExceptions(VOID)
{
    Answer = STATUS_SUCCESS;
    Count("instructions a call", Work, 0);
    Count("instructions a call inside __try", Guarded, 0);
    Count("instructions ten frames with __finally", GuardedDescent, 10);
    Answer = STATUS_UNSUCCESSFUL;
    Count("instructions ExRaiseStatus, caught by the caller", Guarded, 1);
    Count("instructions ExRaiseStatus, caught ten frames with __finally up", GuardedDescent, 11);
    Count("instructions an access violation, caught by the caller", GuardedTouch, 1);
}
