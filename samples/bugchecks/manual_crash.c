/* A driver that stops the machine itself, with four parameters of its own choice. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeBugCheckEx(MANUALLY_INITIATED_CRASH, 0x1234, (ULONG_PTR)DriverEntry, (ULONG_PTR)KeGetCurrentThread(), 0);
}
