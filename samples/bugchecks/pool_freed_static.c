/* A variable of the driver itself is freed. */
#include <ntddk.h>

#define TAG 'kcoB'

static UCHAR Static[64];

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    ExFreePoolWithTag(Static, TAG);
    return STATUS_UNSUCCESSFUL;
}
