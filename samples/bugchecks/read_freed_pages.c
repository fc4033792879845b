/* Whole pages are freed and then read: nothing is mapped there any more. */
#include <ntddk.h>

#define BYTES (64 * PAGE_SIZE)
#define TAG 'eerF'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    volatile ULONG *Block = ExAllocatePoolWithTag(NonPagedPoolNx, BYTES, TAG);
    ULONG Sum;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    ExFreePoolWithTag((PVOID)Block, TAG);
    Sum = Block[PAGE_SIZE / sizeof(ULONG)];
    return Sum != 0 ? STATUS_UNSUCCESSFUL : STATUS_DATA_ERROR;
}
