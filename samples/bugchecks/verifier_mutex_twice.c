/* Verified: a mutex is initialized a second time. */
#include <ntddk.h>

static KMUTEX Mutex;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeInitializeMutex(&Mutex, 0);
    KeInitializeMutex(&Mutex, 0);
    return STATUS_UNSUCCESSFUL;
}
