/* A __try does not help against a bad system address: nothing is mapped there, and that is never an exception. */
#include <ntddk.h>

static volatile LONG Value;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    __try {
        Value = *(volatile LONG *)0xFFFF900012345000ull;
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Value = -1;
    }
    return STATUS_UNSUCCESSFUL;
}
