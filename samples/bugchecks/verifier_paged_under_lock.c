/* Verified with forced IRQL checking: paged pool that is in memory is touched under a spin lock; without the verifier it goes well for years. */
#include <ntddk.h>

#define TAG 'kcoB'

static KSPIN_LOCK Lock;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    volatile UCHAR *Block = ExAllocatePoolWithTag(PagedPool, 100, TAG);
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    KeInitializeSpinLock(&Lock);
    Block[0] = 1;
    KeAcquireSpinLock(&Lock, &OldIrql);
    Block[0] = 2;
    KeReleaseSpinLock(&Lock, OldIrql);
    ExFreePoolWithTag((PVOID)Block, TAG);
    return STATUS_UNSUCCESSFUL;
}
