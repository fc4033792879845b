/* A name lies in a pageable data section and is measured under a spin lock: the kernel reads it at DISPATCH_LEVEL. */
#include <ntddk.h>

#pragma data_seg("PAGEDATA")
static WCHAR Name[] = L"\\Device\\PageableString";
#pragma data_seg()

static KSPIN_LOCK Lock;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNICODE_STRING String;
    KIRQL OldIrql;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeSpinLock(&Lock);
    KeAcquireSpinLock(&Lock, &OldIrql);
    RtlInitUnicodeString(&String, Name);
    KeReleaseSpinLock(&Lock, OldIrql);
    return String.Length != 0 ? STATUS_UNSUCCESSFUL : STATUS_DATA_ERROR;
}
