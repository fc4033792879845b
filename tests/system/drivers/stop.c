/* Stops the machine with a bug check of its own, for tests/system/bugcheck_test.py. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeBugCheckEx(MANUALLY_INITIATED_CRASH, 0x1111, 0x2222, 0x3333, 0xFFFFFFFF44444444);
}
