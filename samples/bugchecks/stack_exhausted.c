/* A recursion without an end: the stack's guard page is reached, and with no stack left the fault becomes a double fault. */
#include <ntddk.h>

static volatile LONG Depth;

__attribute__((noinline)) static LONG Recurse(LONG Value)
{
    volatile UCHAR Buffer[256];

    Buffer[0] = (UCHAR)Value;
    Depth = Value;
    return Recurse(Value + 1) + Buffer[0];
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    return Recurse(0) == 0 ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}
