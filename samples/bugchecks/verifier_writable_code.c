/* Verified: an image with a section that can be written and run (its link options: CMakeLists.txt). */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);

    return STATUS_UNSUCCESSFUL;
}
