/* A null pointer is written to, in a driver that has no handler: the thread's own filter stops the machine. */
#include <ntddk.h>

static volatile LONG *Counter;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    *Counter = 1;
    return STATUS_UNSUCCESSFUL;
}
