/*
 * Counts the instructions of an uncontended spin lock pair, for `make bench`. Under QEMU's -icount shift=0 the time stamp
 * counter advances by one each instruction; the two CR8 writes that the pair contains are measured apart and taken off.
 */
#include <ntddk.h>

#define ROUNDS 1000

static KSPIN_LOCK Lock;

static VOID Unload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
}

/* Both loops are alike but for what they measure, so that the loop itself cancels out. */
__attribute__((noinline)) static ULONG64 TimeLockPairs(void)
{
    ULONG64 Start = __rdtsc();
    KIRQL OldIrql;

    for (ULONG Round = 0; Round < ROUNDS; ++Round) {
        KeAcquireSpinLock(&Lock, &OldIrql);
        KeReleaseSpinLock(&Lock, OldIrql);
    }
    return __rdtsc() - Start;
}

__attribute__((noinline)) static ULONG64 TimeLevelChanges(void)
{
    ULONG64 Start = __rdtsc();

    for (ULONG Round = 0; Round < ROUNDS; ++Round) {
        __asm__ volatile("movq %0, %%cr8\n\tmovq %1, %%cr8" ::"r"((ULONG64)DISPATCH_LEVEL), "r"((ULONG64)PASSIVE_LEVEL)
                         : "memory");
    }
    return __rdtsc() - Start;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    ULONG64 Pairs, Levels;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->DriverUnload = Unload;
    KeInitializeSpinLock(&Lock);
    TimeLockPairs();
    Pairs = TimeLockPairs();
    Levels = TimeLevelChanges();
    DbgPrint("lock_bench: %u instructions a pair beyond the CR8 writes (%I64u and %I64u in %u rounds)\n",
             (ULONG)((Pairs - Levels + ROUNDS / 2) / ROUNDS), Pairs, Levels, ROUNDS);
    return STATUS_SUCCESS;
}
