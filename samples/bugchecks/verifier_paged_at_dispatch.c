/* Verified: paged pool is allocated at DISPATCH_LEVEL. */
#include <ntddk.h>

#define TAG 'kcoB'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UCHAR *Block;
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    Block = ExAllocatePoolWithTag(PagedPool, 321, TAG);
    KeLowerIrql(OldIrql);
    if (Block != NULL)
        ExFreePoolWithTag(Block, TAG);
    return STATUS_UNSUCCESSFUL;
}
