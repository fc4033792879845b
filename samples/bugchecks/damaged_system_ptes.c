/*
 * A driver that changes page tables by hand clears an entry one level too high: what leads to the page table entries of a
 * mapping is gone when the mapping is given back.
 */
#include <ntddk.h>

#define BYTES (8 * 1024 * 1024)

/* The entry that maps the page table for Address. */
static volatile ULONG64 *PdeOf(PVOID Address)
{
    return (volatile ULONG64 *)(0xFFFFF6FB40000000 + (((ULONG64)Address >> 18) & 0x3FFFFFF8));
}

static volatile ULONG64 *PteOf(PVOID Address)
{
    return (volatile ULONG64 *)(0xFFFFF68000000000 + (((ULONG64)Address >> 9) & 0x7FFFFFFFF8));
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PHYSICAL_ADDRESS Low = {.QuadPart = 0}, High = {.QuadPart = -1}, Skip = {.QuadPart = 0};
    KSPIN_LOCK Lock;
    KIRQL OldIrql;
    PUCHAR Mapping, Middle;
    PMDL Mdl = MmAllocatePagesForMdlEx(Low, High, Skip, BYTES, MmCached, MM_ALLOCATE_FULLY_REQUIRED);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Mdl == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    Mapping = MmMapLockedPagesSpecifyCache(Mdl, KernelMode, MmCached, NULL, FALSE, NormalPagePriority | MdlMappingNoExecute);
    if (Mapping == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    /* The page table in its middle maps nothing but this mapping. */
    Middle = (PUCHAR)(((ULONG_PTR)Mapping + BYTES / 2) & ~(ULONG_PTR)0x1FFFFF);
    KeInitializeSpinLock(&Lock);
    KeAcquireSpinLock(&Lock, &OldIrql);
    *PdeOf(Middle) = 0;
    __asm__ volatile("invlpg (%0)" : : "r"(PteOf(Middle)) : "memory");
    MmUnmapLockedPages(Mapping, Mdl);
    KeReleaseSpinLock(&Lock, OldIrql);
    return STATUS_UNSUCCESSFUL;
}
