/* Verified for DDI compliance: IoGetDeviceToVerify above DISPATCH_LEVEL. */
#include <ntifs.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeRaiseIrql(DISPATCH_LEVEL + 1, &OldIrql);
    IoGetDeviceToVerify(PsGetCurrentThread());
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
