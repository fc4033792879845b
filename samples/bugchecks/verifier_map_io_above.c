/* Verified: MmMapIoSpace above DISPATCH_LEVEL. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;
    PHYSICAL_ADDRESS Address;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    Address.QuadPart = 0xFEC00000;
    KeRaiseIrql(DISPATCH_LEVEL + 1, &OldIrql);
    MmMapIoSpace(Address, PAGE_SIZE, MmNonCached);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
