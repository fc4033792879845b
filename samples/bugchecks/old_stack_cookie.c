/*
 * A copy runs over a local buffer; the function's cookie tells it. The check is the one that drivers of before Windows 8
 * carry with them (their BufferOverflowK.lib): it stops the machine itself instead of by int 29h.
 */
#include <ntddk.h>

#define DRIVER_OVERRAN_STACK_BUFFER ((ULONG)0x000000F7)

static ULONG_PTR Cookie = 0x00002B992DDFA232;
static const char Name[] = "a name that is much longer than the room for it";

__attribute__((noinline)) static void CheckCookie(ULONG_PTR Found)
{
    if (Found != Cookie)
        KeBugCheckEx(DRIVER_OVERRAN_STACK_BUFFER, Found, Cookie, ~Cookie, 0);
}

__attribute__((noinline)) static void CopyName(const char *From)
{
    struct {
        volatile char Buffer[16];
        volatile ULONG_PTR Guard; /* between the buffer and the return address */
    } Frame;
    ULONG Index;

    Frame.Guard = Cookie;
    for (Index = 0; From[Index] != 0 && Index < sizeof(Frame); ++Index)
        ((volatile char *)&Frame)[Index] = From[Index];
    CheckCookie(Frame.Guard);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    CopyName(Name);
    return STATUS_UNSUCCESSFUL;
}
