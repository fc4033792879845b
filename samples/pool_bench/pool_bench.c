/*
 * Pairs of allocation and free a second, for `make bench`: 32 bytes, 512 bytes and 8 KiB of nonpaged pool, on one processor and
 * on all of them at once. Run it under `--verifier special_pool` or `--verifier pool` to see what those cost.
 */
#include <ntddk.h>

#define TAG 'hcnB'
#define MILLISECONDS 200
#define MOST_PROCESSORS 64

typedef struct _WORKER {
    SIZE_T Bytes;
    ULONG Processor;
    volatile LONG *Go;
    ULONG64 Pairs;
} WORKER, *PWORKER;

static VOID Unload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
}

static VOID WorkerThread(PVOID Context)
{
    PWORKER Worker = Context;
    ULONG64 End, Pairs = 0;

    KeSetSystemAffinityThread((KAFFINITY)1 << Worker->Processor);
    while (!*Worker->Go)
        YieldProcessor();
    End = KeQueryInterruptTime() + MILLISECONDS * 10000;
    while (KeQueryInterruptTime() < End) {
        for (ULONG Round = 0; Round < 16; ++Round) {
            PVOID Block = ExAllocatePoolWithTag(NonPagedPoolNx, Worker->Bytes, TAG);
            if (Block != NULL)
                ExFreePoolWithTag(Block, TAG);
        }
        Pairs += 16;
    }
    Worker->Pairs = Pairs;
    PsTerminateSystemThread(STATUS_SUCCESS);
}

static ULONG64 PairsPerSecond(SIZE_T Bytes, ULONG Processors)
{
    static WORKER Workers[MOST_PROCESSORS];
    static PVOID Threads[MOST_PROCESSORS];
    volatile LONG Go = 0;
    ULONG64 Pairs = 0;
    ULONG Started = 0;

    for (; Started < Processors; ++Started) {
        HANDLE Thread;

        Workers[Started] = (WORKER){ Bytes, Started, &Go, 0 };
        if (!NT_SUCCESS(PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, WorkerThread, &Workers[Started])))
            break;
        ObReferenceObjectByHandle(Thread, THREAD_ALL_ACCESS, NULL, KernelMode, &Threads[Started], NULL);
        ZwClose(Thread);
    }
    Go = 1;
    for (ULONG Index = 0; Index < Started; ++Index) {
        KeWaitForSingleObject(Threads[Index], Executive, KernelMode, FALSE, NULL);
        ObDereferenceObject(Threads[Index]);
        Pairs += Workers[Index].Pairs;
    }
    return Pairs * 1000 / MILLISECONDS;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    static const SIZE_T Sizes[] = { 32, 512, 8192 };
    ULONG Processors = KeQueryActiveProcessorCount(NULL);

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->DriverUnload = Unload;
    if (Processors > MOST_PROCESSORS)
        Processors = MOST_PROCESSORS;
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Sizes); ++Index) {
        PairsPerSecond(Sizes[Index], 1);
        DbgPrint("pool_bench: %u bytes, 1 processor: %I64u pairs a second\n", (ULONG)Sizes[Index],
                 PairsPerSecond(Sizes[Index], 1));
        if (Processors > 1)
            DbgPrint("pool_bench: %u bytes, %u processors: %I64u pairs a second\n", (ULONG)Sizes[Index], Processors,
                     PairsPerSecond(Sizes[Index], Processors));
    }
    return STATUS_SUCCESS;
}
