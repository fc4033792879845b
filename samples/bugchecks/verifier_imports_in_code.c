/* Verified: an image whose import table lies in a section of code (its link options: CMakeLists.txt). */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PVOID Block = ExAllocatePoolWithTag(NonPagedPoolNx, 64, 'edoC');

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block != NULL)
        ExFreePoolWithTag(Block, 'edoC');
    return STATUS_UNSUCCESSFUL;
}
