/*
 * Counts the instructions of the two routines of an uncontended spin lock pair, for `make bench`. Under QEMU's -icount
 * shift=0 the time stamp counter advances by one each instruction. A second loop is alike but calls two routines that only
 * return: what the caller itself executes cancels out, and the two returns and the two CR8 writes are accounted for.
 */
#include <ntddk.h>

#define ROUNDS 1000
#define RETURNS 2    /* of the empty routines, which the real ones have too */
#define CR8_WRITES 2

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

__attribute__((naked)) static KIRQL ReturnOnly(PKSPIN_LOCK SpinLock)
{
    __asm__ volatile("retq");
}

__attribute__((naked)) static VOID ReturnOnlyToo(PKSPIN_LOCK SpinLock, KIRQL NewIrql)
{
    __asm__ volatile("retq");
}

static KIRQL (*volatile Acquire)(PKSPIN_LOCK) = ReturnOnly;
static VOID (*volatile Release)(PKSPIN_LOCK, KIRQL) = ReturnOnlyToo;

__attribute__((noinline)) static ULONG64 TimeEmptyPairs(void)
{
    KIRQL (*First)(PKSPIN_LOCK) = Acquire;
    VOID (*Second)(PKSPIN_LOCK, KIRQL) = Release;
    ULONG64 Start = __rdtsc();

    for (ULONG Round = 0; Round < ROUNDS; ++Round)
        Second(&Lock, First(&Lock));
    return __rdtsc() - Start;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    ULONG64 Pairs, Empty;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->DriverUnload = Unload;
    KeInitializeSpinLock(&Lock);
    TimeLockPairs();
    Pairs = TimeLockPairs();
    Empty = TimeEmptyPairs();
    DbgPrint("lock_bench: %u instructions a pair beyond the CR8 writes (%I64u and %I64u in %u rounds)\n",
             (ULONG)((Pairs - Empty + ROUNDS / 2) / ROUNDS) + RETURNS - CR8_WRITES, Pairs, Empty, ROUNDS);
    return STATUS_SUCCESS;
}
