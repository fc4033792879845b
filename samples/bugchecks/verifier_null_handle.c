/* Verified: a handle is referenced that was never set. */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    HANDLE Handle = NULL;
    PVOID Object;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    ObReferenceObjectByHandle(Handle, 0, NULL, KernelMode, &Object, NULL);
    return STATUS_UNSUCCESSFUL;
}
