/* Fills most of the machine's memory with bytes that are not zero and stops the machine: a full dump then has few holes. For
 * `make bench`, which measures how fast a dump is written. */
#include <ntddk.h>

#define CHUNK (1024 * 1024)
#define LEAVE 64 /* chunks that are given back, for the machine itself */

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    ULONG64 *Chunks = NULL, *Chunk;
    ULONG Count = 0;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    while ((Chunk = ExAllocatePoolWithTag(NonPagedPoolNx, CHUNK, 'lliF')) != NULL) {
        for (ULONG i = 1; i < CHUNK / sizeof(ULONG64); ++i)
            Chunk[i] = ((ULONG64)Count << 32 | i) * 0x9E3779B97F4A7C15ULL;
        Chunk[0] = (ULONG64)(ULONG_PTR)Chunks;
        Chunks = Chunk;
        ++Count;
    }
    for (ULONG i = 0; i < LEAVE && Chunks != NULL; ++i) {
        Chunk = Chunks;
        Chunks = (ULONG64 *)(ULONG_PTR)Chunk[0];
        ExFreePoolWithTag(Chunk, 'lliF');
    }
    KeBugCheckEx(MANUALLY_INITIATED_CRASH, Count, 0, 0, 0);
}
