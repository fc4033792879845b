/* Verified: MmUnmapIoSpace at DISPATCH_LEVEL. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;
    PHYSICAL_ADDRESS Address;
    PVOID Registers;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    Address.QuadPart = 0xFEC00000;
    Registers = MmMapIoSpace(Address, PAGE_SIZE, MmNonCached);
    if (Registers == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    MmUnmapIoSpace(Registers, PAGE_SIZE);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
