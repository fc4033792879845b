/* A driver that imports two names which no NT kernel exports: it must not load, and both must be named. */
#include <ntddk.h>

__declspec(dllimport) NTSTATUS NTAPI KeInventQuantum(ULONG Length);
__declspec(dllimport) PVOID NTAPI IoSummonDevice(PCWSTR Name);

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (IoSummonDevice(L"\\Device\\Nothing") == NULL)
        return STATUS_NO_SUCH_DEVICE;
    return KeInventQuantum(1);
}
