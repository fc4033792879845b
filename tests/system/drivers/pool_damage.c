/*
 * Damages pool in three ways that nobody notices - behind a block's last byte, in a block that was freed, behind an allocation of
 * whole pages - and crashes for another reason.
 */
#include <ntddk.h>

#define SMALL 100
#define LARGE (PAGE_SIZE + 200)

static volatile ULONG *Nothing;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    /* Two are taken before one is given back: the processor's stock of that size has room for it. */
    PUCHAR Block = ExAllocatePoolWithTag(NonPagedPoolNx, SMALL, 'dnhB');
    PUCHAR Freed = ExAllocatePoolWithTag(NonPagedPoolNx, SMALL, 'eerF');
    PUCHAR Pages = ExAllocatePoolWithTag(NonPagedPoolNx, LARGE, 'egaP');
    KIRQL Irql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL || Freed == NULL || Pages == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    Block[SMALL] = 'x';
    ExFreePoolWithTag(Freed, 'eerF');
    Freed[8] ^= 0x55;
    Pages[LARGE] = 'x';
    *Nothing = 1;
    KeLowerIrql(Irql);
    return STATUS_SUCCESS;
}
