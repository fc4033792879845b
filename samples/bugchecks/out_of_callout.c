/* An exception leaves a routine of KeExpandKernelStackAndCallout: the caller's handler is on another stack segment. */
#include <ntddk.h>

static VOID NTAPI Callout(PVOID Parameter)
{
    UNREFERENCED_PARAMETER(Parameter);
    ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    __try {
        KeExpandKernelStackAndCallout(Callout, NULL, MAXIMUM_EXPANSION_SIZE);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        DbgPrint("caught\n");
    }
    return STATUS_UNSUCCESSFUL;
}
