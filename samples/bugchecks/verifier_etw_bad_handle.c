/* Verified: an ETW provider is unregistered twice. */
#include <ntddk.h>

static const GUID Provider = {0x6f1c0b5a, 0x2f3d, 0x4e0b, {1, 2, 3, 4, 5, 6, 7, 8}};
static REGHANDLE Handle;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    EtwRegister(&Provider, NULL, NULL, &Handle);
    EtwUnregister(Handle);
    EtwUnregister(Handle);
    return STATUS_UNSUCCESSFUL;
}
