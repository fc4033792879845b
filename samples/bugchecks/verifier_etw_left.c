/* Verified: the driver is unloaded and its ETW provider is still registered. */
#include <ntddk.h>

static const GUID Provider = {0x6f1c0b5a, 0x2f3d, 0x4e0b, {1, 2, 3, 4, 5, 6, 7, 8}};
static REGHANDLE Handle;

static VOID Unload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->DriverUnload = Unload;
    return EtwRegister(&Provider, NULL, NULL, &Handle);
}
