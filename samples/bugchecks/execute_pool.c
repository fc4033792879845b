/* Code is written into memory of the nonpaged pool, which is not executable, and called. */
#include <ntddk.h>

#define TAG 'edoC'

typedef int (*ROUTINE)(void);

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    static const UCHAR ReturnSeven[] = {0xB8, 7, 0, 0, 0, 0xC3};
    UCHAR *Code = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(ReturnSeven), TAG);
    int Result;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Code == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlCopyMemory(Code, ReturnSeven, sizeof(ReturnSeven));
    Result = ((ROUTINE)(ULONG_PTR)Code)();
    ExFreePoolWithTag(Code, TAG);
    return Result == 7 ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}
