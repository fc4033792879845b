/* A driver that would rather stop than go on: its own filter makes a bug check of every exception. On x64 this is who
 * raises 8E; the system itself says 1E or 7E. */
#include <ntddk.h>

static volatile LONG *Nowhere;

static LONG Filter(PEXCEPTION_POINTERS Pointers)
{
    KeBugCheckEx(KERNEL_MODE_EXCEPTION_NOT_HANDLED, (ULONG_PTR)(LONG_PTR)Pointers->ExceptionRecord->ExceptionCode,
                 (ULONG_PTR)Pointers->ExceptionRecord->ExceptionAddress, (ULONG_PTR)Pointers->ContextRecord, 0);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    __try {
        *Nowhere = 1;
    } __except (Filter((PEXCEPTION_POINTERS)_exception_info())) {
    }
    return STATUS_UNSUCCESSFUL;
}
