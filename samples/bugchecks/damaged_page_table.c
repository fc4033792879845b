/* A driver changes a page table entry by hand, as some do to make memory writable, and gets it wrong. */
#include <ntddk.h>

#define TAG 'etpD'

static volatile ULONG64 *PteOf(PVOID Address)
{
    return (volatile ULONG64 *)(0xFFFFF68000000000 + (((ULONG64)Address >> 9) & 0x7FFFFFFFF8));
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    volatile ULONG *Block = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, TAG);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    *PteOf((PVOID)Block) ^= 0x401; /* not valid any more, and no form that the memory manager writes */
    __asm__ volatile("invlpg (%0)" : : "r"(Block) : "memory");
    return *Block != 0 ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}
