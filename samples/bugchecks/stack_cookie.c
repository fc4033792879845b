/* A buffer on the stack is overrun; the function's epilogue finds its cookie changed and fails fast, as drivers built with
 * /GS do (their run-time library brings these two; here they are written out). */
#include <ntddk.h>

#define FAST_FAIL_STACK_COOKIE_CHECK_FAILURE 2

static ULONG_PTR Cookie = 0x00002B992DDFA232ull;

__attribute__((noinline)) static VOID CheckCookie(ULONG_PTR Value)
{
    if (Value != Cookie) {
        __asm__ volatile("int $0x29" ::"c"(FAST_FAIL_STACK_COOKIE_CHECK_FAILURE));
    }
}

__attribute__((noinline)) static VOID CopyName(const char *Name)
{
    struct {
        char Buffer[8];
        volatile ULONG_PTR Cookie;
    } Frame;
    volatile char *To = Frame.Buffer;

    Frame.Cookie = Cookie;
    while ((*To++ = *Name++) != 0) {
        continue;
    }
    CheckCookie(Frame.Cookie);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    CopyName("longer than eight");
    return STATUS_UNSUCCESSFUL;
}
