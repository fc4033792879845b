/* A string is one terminator too long for its block: the next block's header is hit. The next block is this driver's too:
 * nobody else meets the damage before. */
#include <ntddk.h>

#define TAG 'kcoB'

static UCHAR *Blocks[64];

/* A block right before another one of ours; NULL if there is none. */
static UCHAR *BlockBeforeAnother(VOID)
{
    ULONG Index, Next;

    for (Index = 0; Index < RTL_NUMBER_OF(Blocks); ++Index) {
        for (Next = 0; Next < RTL_NUMBER_OF(Blocks); ++Next) {
            if (Blocks[Next] - Blocks[Index] == 112 && PAGE_ALIGN(Blocks[Next]) == PAGE_ALIGN(Blocks[Index]))
                return Blocks[Index];
        }
    }
    return NULL;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    ULONG Index;
    UCHAR *Block;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    for (Index = 0; Index < RTL_NUMBER_OF(Blocks); ++Index) {
        Blocks[Index] = ExAllocatePoolWithTag(NonPagedPoolNx, 96, TAG);
        if (Blocks[Index] == NULL)
            return STATUS_INSUFFICIENT_RESOURCES;
    }
    Block = BlockBeforeAnother();
    if (Block == NULL)
        return STATUS_UNSUCCESSFUL;
    for (Index = 0; Index <= 96; ++Index)
        Block[Index] = 'x';
    ExFreePoolWithTag(Block, TAG);
    return STATUS_UNSUCCESSFUL;
}
