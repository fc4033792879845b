/*
 * A routine that every processor runs at IPI_LEVEL gives up by a long jump to where its driver had begun: on the other
 * processor that leads out of an interrupt, into code that the interrupt has nothing to do with.
 */
#include <ntddk.h>

typedef struct __attribute__((aligned(16))) {
    ULONG64 Part[32];
} JUMP_TARGET;

extern int SetJump(JUMP_TARGET *Target, PVOID Frame) __asm__("_setjmpex") __attribute__((returns_twice));
extern VOID LongJump(JUMP_TARGET *Target, int Value) __asm__("longjmp");

static JUMP_TARGET Target;

static KIPI_BROADCAST_WORKER OnEveryProcessor;
static ULONG_PTR NTAPI OnEveryProcessor(ULONG_PTR Caller)
{
    if (KeGetCurrentProcessorNumber() != Caller)
        LongJump(&Target, 1);
    return 0;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    KeSetSystemAffinityThread(1);
    if (SetJump(&Target, __builtin_frame_address(0)) == 0)
        KeIpiGenericCall(OnEveryProcessor, 0);
    return STATUS_UNSUCCESSFUL;
}
