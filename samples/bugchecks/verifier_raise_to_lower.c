/* Verified: KeRaiseIrql with a level below the current one. */
#include <ntddk.h>

/* The imports: these headers have inline functions of the same names. */
extern KIRQL(NTAPI *RaiseIrql)(KIRQL NewIrql) __asm__("__imp_KfRaiseIrql");
extern VOID(NTAPI *LowerIrql)(KIRQL NewIrql) __asm__("__imp_KeLowerIrql");

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    OldIrql = RaiseIrql(DISPATCH_LEVEL);
    RaiseIrql(APC_LEVEL);
    LowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
