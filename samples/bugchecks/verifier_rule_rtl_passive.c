/* Verified for DDI compliance: RtlDeleteRegistryValue at DISPATCH_LEVEL. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    RtlDeleteRegistryValue(RTL_REGISTRY_SERVICES, L"Name", L"Value");
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
