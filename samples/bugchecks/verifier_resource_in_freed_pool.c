/* Verified: a block is freed with a resource in it that was never deleted. */
#include <ntddk.h>

typedef struct {
    ULONG State;
    ERESOURCE Resource;
} EXTENSION;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    EXTENSION *Extension = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(EXTENSION), 'txeR');

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Extension == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    ExInitializeResourceLite(&Extension->Resource);
    ExFreePoolWithTag(Extension, 'txeR');
    return STATUS_UNSUCCESSFUL;
}
