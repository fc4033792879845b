/* A node is taken out of a balanced tree that it has left already: code that looks first fails fast. */
#include <ntddk.h>

#define FAST_FAIL_INVALID_BALANCED_TREE 0x1D

typedef struct _NODE {
    struct _NODE *Left;
    struct _NODE *Right;
    struct _NODE *Parent;
} NODE;

static NODE Root, Leaf;

__attribute__((noinline)) static void RemoveChecked(NODE *Node)
{
    NODE *Parent = Node->Parent;

    if (Parent->Left != Node && Parent->Right != Node)
        __asm__ volatile("int $0x29" : : "c"(FAST_FAIL_INVALID_BALANCED_TREE));
    if (Parent->Left == Node)
        Parent->Left = NULL;
    else
        Parent->Right = NULL;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    Root.Left = &Leaf;
    Leaf.Parent = &Root;
    RemoveChecked(&Leaf);
    RemoveChecked(&Leaf);
    return STATUS_UNSUCCESSFUL;
}
