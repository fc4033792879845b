/*
 * A driver that brings a small framework with it, whose requests may be completed once. Completing one twice is the
 * framework's bug check, as it is Wdf01000's on Windows.
 */
#include <ntddk.h>

#define WDF_VIOLATION ((ULONG)0x0000010D)
#define REQUEST_COMPLETED_TWICE 0xB

typedef struct _REQUEST {
    NTSTATUS Status;
    BOOLEAN Completed;
} REQUEST, *PREQUEST;

static REQUEST Request;

__attribute__((noinline)) static void FrameworkCompleteRequest(PREQUEST Target, NTSTATUS Status)
{
    if (Target->Completed)
        KeBugCheckEx(WDF_VIOLATION, REQUEST_COMPLETED_TWICE, (ULONG_PTR)Target, (ULONG)Target->Status, 0);
    Target->Completed = TRUE;
    Target->Status = Status;
}

__attribute__((noinline)) static void OnRead(PREQUEST Target)
{
    FrameworkCompleteRequest(Target, STATUS_SUCCESS);
    FrameworkCompleteRequest(Target, STATUS_CANCELLED);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    OnRead(&Request);
    return STATUS_UNSUCCESSFUL;
}
