/* Verified with I/O checking: a request of IoBuildSynchronousFsdRequest is sent with a fast mutex held. */
#include <ntddk.h>

static FAST_MUTEX Mutex;

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    NTSTATUS Status;
    KEVENT Event;
    IO_STATUS_BLOCK IoStatus;
    PIRP Irp;

    UNREFERENCED_PARAMETER(RegistryPath);
    Status = IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status))
        return Status;
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    Irp = IoBuildSynchronousFsdRequest(IRP_MJ_FLUSH_BUFFERS, Device, NULL, 0, NULL, &Event, &IoStatus);
    if (Irp == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    ExInitializeFastMutex(&Mutex);
    ExAcquireFastMutex(&Mutex);
    IoCallDriver(Device, Irp);
    ExReleaseFastMutex(&Mutex);
    return STATUS_UNSUCCESSFUL;
}
