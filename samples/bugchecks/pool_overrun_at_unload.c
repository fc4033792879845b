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
    /* Three blocks fit in a page; the second of any three lies before a third or before the page's rest. */
    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Blocks); ++Index) {
        if ((ULONG_PTR)Blocks[Index] % PAGE_SIZE < PAGE_SIZE / 2)
            RtlFillMemory(Blocks[Index] + 1000, 24, 'x');
    }
    return STATUS_SUCCESS;
}
