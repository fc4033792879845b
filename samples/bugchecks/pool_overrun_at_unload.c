/* An overrun into a block that nobody frees: the check of the pools at the driver's unload finds it. */
#include <ntddk.h>

#define TAG 'kcoB'

static UCHAR *Blocks[64];

static VOID Unload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->DriverUnload = Unload;
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Blocks); ++Index) {
        Blocks[Index] = ExAllocatePoolWithTag(NonPagedPoolNx, 1000, TAG);
        if (Blocks[Index] == NULL)
            return STATUS_INSUFFICIENT_RESOURCES;
    }
    /* Into the next block of the same page, which is this driver's too: nobody else meets the damage before. */
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Blocks); ++Index) {
        for (ULONG Next = 0; Next < RTL_NUMBER_OF(Blocks); ++Next) {
            if (Blocks[Next] - Blocks[Index] == 1024 && PAGE_ALIGN(Blocks[Next]) == PAGE_ALIGN(Blocks[Index])) {
                RtlFillMemory(Blocks[Index] + 1000, 24, 'x');
                return STATUS_SUCCESS;
            }
        }
    }
    return STATUS_UNSUCCESSFUL;
}
