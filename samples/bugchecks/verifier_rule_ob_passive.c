/* Verified for DDI compliance: ObReferenceObjectByHandle at DISPATCH_LEVEL. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;
    PVOID Object;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    ObReferenceObjectByHandle(NULL, 0, NULL, KernelMode, &Object, NULL);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
