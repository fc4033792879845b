/* Paged pool is freed at DISPATCH_LEVEL. */
#include <ntddk.h>

#define TAG 'kcoB'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UCHAR *Block = ExAllocatePoolWithTag(PagedPool, 100, TAG);
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    ExFreePoolWithTag(Block, TAG);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
