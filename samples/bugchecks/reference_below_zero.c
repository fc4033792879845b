/* A driver counts references as the checked routines of newer headers do: giving back one too many fails fast. */
#include <ntddk.h>

#define FAST_FAIL_INVALID_REFERENCE_COUNT 14

typedef struct _SESSION {
    volatile LONG References;
} SESSION;

static SESSION Session = {1};

__attribute__((noinline)) static void ReleaseSession(SESSION *Which)
{
    if (InterlockedDecrement(&Which->References) < 0)
        __asm__ volatile("int $0x29" : : "c"(FAST_FAIL_INVALID_REFERENCE_COUNT));
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    ReleaseSession(&Session);
    ReleaseSession(&Session);
    return STATUS_UNSUCCESSFUL;
}
