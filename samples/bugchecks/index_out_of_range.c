/* An index comes from outside and is not looked at; the compiler's range check (/sdl, here written out) is. */
#include <ntddk.h>

#define FAST_FAIL_RANGE_CHECK_FAILURE 8

static ULONG Limits[4] = {1, 2, 4, 8};
static volatile ULONG FromOutside = 9;

__attribute__((noinline)) static void ReportRangeCheckFailure(void)
{
    __asm__ volatile("int $0x29" : : "c"(FAST_FAIL_RANGE_CHECK_FAILURE));
}

__attribute__((noinline)) static ULONG LimitOf(ULONG Index)
{
    if (Index >= RTL_NUMBER_OF(Limits))
        ReportRangeCheckFailure();
    return Limits[Index & 3];
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    return LimitOf(FromOutside) == 1 ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}
