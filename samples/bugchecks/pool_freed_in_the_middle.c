/* An address inside a block is freed, after a loop that moved the pointer along. */
#include <ntddk.h>

#define TAG 'kcoB'

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UCHAR *Next;
    UCHAR *Block = ExAllocatePoolWithTag(NonPagedPoolNx, 400, TAG);

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(Block, 400);
    for (Next = Block; Next < Block + 64; Next += 16)
        *Next = 1;
    ExFreePoolWithTag(Next, TAG);
    return STATUS_UNSUCCESSFUL;
}
