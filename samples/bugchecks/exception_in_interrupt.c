/* A routine that every processor runs at IPI_LEVEL divides by zero on the other processor: no code may catch what leaves an
 * interrupt. */
#include <ntddk.h>

static volatile LONG Divisor;
static volatile LONG Result;

static KIPI_BROADCAST_WORKER OnEveryProcessor;
static ULONG_PTR NTAPI OnEveryProcessor(ULONG_PTR Caller)
{
    if (KeGetCurrentProcessorNumber() != Caller) {
        Result = 100 / Divisor;
    }
    return 0;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeSetSystemAffinityThread(1);
    KeIpiGenericCall(OnEveryProcessor, 0);
    return STATUS_UNSUCCESSFUL;
}
