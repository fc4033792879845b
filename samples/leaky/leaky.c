/* A driver that unloads and leaves everything behind: pool, a device, a handle, a thread that runs on. */
#include <ntddk.h>

static void RestlessThread(PVOID Context)
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
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Device\\BugcheckLeaky");
    PDEVICE_OBJECT Device;
    HANDLE Thread;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->DriverUnload = Unload;
    Status = IoCreateDevice(Driver, 0, &Name, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status))
        return Status;
    if (ExAllocatePoolWithTag(NonPagedPoolNx, 4000, 'kaeL') == NULL) {
        IoDeleteDevice(Device);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    /* The handle is never closed. */
    Status = PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, RestlessThread, NULL);
    return Status;
}
