/* Verified: KeLowerIrql with the level of a variable that was never set. */
#include <ntddk.h>

/* The imports: these headers have inline functions of the same names. */
extern KIRQL(NTAPI *RaiseIrql)(KIRQL NewIrql) __asm__("__imp_KfRaiseIrql");
extern VOID(NTAPI *LowerIrql)(KIRQL NewIrql) __asm__("__imp_KeLowerIrql");

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    KIRQL OldIrql = DISPATCH_LEVEL;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    LowerIrql(OldIrql);
    return STATUS_UNSUCCESSFUL;
}
