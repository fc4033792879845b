/* Verified: a string at a user address is given to a kernel routine. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNICODE_STRING Name;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    RtlInitUnicodeString(&Name, L"\\Device\\Name");
    RtlEqualUnicodeString(&Name, (PUNICODE_STRING)0x10000, TRUE);
    return STATUS_UNSUCCESSFUL;
}
