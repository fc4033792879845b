/* Verified: MmAllocatePagesForMdlEx above DISPATCH_LEVEL. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;
    PHYSICAL_ADDRESS Low, High;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    Low.QuadPart = 0;
    High.QuadPart = -1;
    KeRaiseIrql(DISPATCH_LEVEL + 1, &OldIrql);
    MmAllocatePagesForMdlEx(Low, High, Low, PAGE_SIZE, MmCached, 0);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
