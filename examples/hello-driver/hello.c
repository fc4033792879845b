/* The smallest driver that loads, says something and unloads. */
#include <ntddk.h>

static VOID Unload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
    DbgPrint("hello: good bye\n");
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    Driver->DriverUnload = Unload;
    DbgPrint("hello: my registry key is %wZ\n", RegistryPath);
    return STATUS_SUCCESS;
}
