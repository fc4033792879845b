/*
 * A driver that patches a routine of the kernel through a mapping of its own, as hooks do. The kernel's watch finds the
 * changed page; the driver is long gone from the stack by then.
 */
#include <ntddk.h>

static void NeverEnds(PVOID Context)
{
    LARGE_INTEGER Pause;

    UNREFERENCED_PARAMETER(Context);
    Pause.QuadPart = -10 * 1000 * 1000LL;
    for (;;)
        KeDelayExecutionThread(KernelMode, FALSE, &Pause);
}

static void Unload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"KeBugCheck"); /* a routine that nobody needs now */
    PUCHAR Routine = MmGetSystemRoutineAddress(&Name);
    volatile UCHAR *Alias;
    HANDLE Thread;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->DriverUnload = Unload;
    Alias = MmMapIoSpace(MmGetPhysicalAddress(Routine), 1, MmCached);
    if (Alias == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    *Alias = 0xC3; /* ret */
    MmUnmapIoSpace((PVOID)Alias, 1);
    /* The driver stays until the watch comes by. */
    return PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, NeverEnds, NULL);
}
