/* A routine is called through a pointer into memory that has been freed. */
#include <ntddk.h>

#define BYTES (4 * PAGE_SIZE)
#define TAG 'llaC'

typedef VOID (*CALLBACK)(void);

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UCHAR *Code = ExAllocatePoolWithTag(NonPagedPool, BYTES, TAG);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Code == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    Code[PAGE_SIZE] = 0xC3;
    ExFreePoolWithTag(Code, TAG);
    ((CALLBACK)(ULONG_PTR)(Code + PAGE_SIZE))();
    return STATUS_SUCCESS;
}
