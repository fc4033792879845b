/* A pointer was never set: what stands in it is a system address at which there is nothing, not even a page table. */
#include <ntddk.h>

static struct {
    volatile ULONG *Counter;
} Context = {(volatile ULONG *)0xFFFFA12345678000};

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    *Context.Counter = 1;
    return STATUS_SUCCESS;
}
