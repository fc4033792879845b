/* A driver runs a routine on a stack that it has made itself, and the routine faults: nobody can walk that stack. */
#include <ntddk.h>

static __attribute__((aligned(16))) UCHAR Stack[0x4000];

__attribute__((noinline)) static void RunOnOwnStack(void)
{
    __asm__ volatile("mov %0, %%rsp\n\tud2" : : "r"(Stack + sizeof(Stack) - 0x200) : "memory");
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    RunOnOwnStack();
    return STATUS_UNSUCCESSFUL;
}
