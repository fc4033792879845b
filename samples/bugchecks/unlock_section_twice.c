/* A pageable section is locked once and unlocked twice. */
#include <ntddk.h>

#pragma code_seg("PAGE")
__attribute__((noinline)) static ULONG Pageable(ULONG Value)
{
    return Value * 3;
}
#pragma code_seg()

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PVOID Section = MmLockPagableCodeSection(Pageable);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Section == NULL)
        return STATUS_UNSUCCESSFUL;
    MmUnlockPagableImageSection(Section);
    MmUnlockPagableImageSection(Section);
    return Pageable(1) == 3 ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}
