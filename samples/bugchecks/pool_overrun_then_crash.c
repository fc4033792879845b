/*
 * A copy runs over the end of its block into the next one's header, and before anybody frees either of them the driver crashes for
 * quite another reason. The kernel's look at its pools at the crash still names the block that was overrun.
 */
#include <ntddk.h>

#define TAG 'revO'
#define SIZE 100
#define TOO_MUCH 140

static volatile ULONG *Nothing;

/* A block with others behind it in its page. */
static PUCHAR InTheMiddle(VOID)
{
    PUCHAR Block;

    do
        Block = ExAllocatePoolWithTag(NonPagedPoolNx, SIZE, TAG);
    while (Block != NULL && ((ULONG_PTR)Block & (PAGE_SIZE - 1)) > PAGE_SIZE / 2);
    return Block;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PUCHAR Block = InTheMiddle();
    KIRQL Irql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeRaiseIrql(DISPATCH_LEVEL, &Irql);
    if (Block != NULL)
        RtlFillMemory(Block, TOO_MUCH, 'x');
    *Nothing = 1;
    KeLowerIrql(Irql);
    return STATUS_SUCCESS;
}
