/* The unload routine does not wait for the driver's thread: the thread wakes up where its code was. */
#include <ntddk.h>

static void Worker(PVOID Context)
{
    LARGE_INTEGER Pause;

    UNREFERENCED_PARAMETER(Context);
    Pause.QuadPart = -10 * 1000 * 10LL;
    for (;;)
        KeDelayExecutionThread(KernelMode, FALSE, &Pause);
}

static void Unload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    HANDLE Thread;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->DriverUnload = Unload;
    Status = PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, Worker, NULL);
    if (NT_SUCCESS(Status))
        ZwClose(Thread);
    return Status;
}
