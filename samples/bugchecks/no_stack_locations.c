/* A filter passes an IRP down that was allocated for one device alone: the one below finds no stack location. */
#include <ntddk.h>

static PDEVICE_OBJECT Upper, Lower;

static NTSTATUS Dispatch(PDEVICE_OBJECT Device, PIRP Irp)
{
    if (Device == Upper) {
        IoCopyCurrentIrpStackLocationToNext(Irp);
        return IoCallDriver(Lower, Irp);
    }
    Irp->IoStatus.Status = STATUS_SUCCESS;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_SUCCESS;
}

static NTSTATUS Finished(PDEVICE_OBJECT Device, PIRP Irp, PVOID Context)
{
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Context);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    PIRP Irp;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->MajorFunction[IRP_MJ_INTERNAL_DEVICE_CONTROL] = Dispatch;
    if (!NT_SUCCESS(IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Lower)) ||
        !NT_SUCCESS(IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Upper)))
        return STATUS_INSUFFICIENT_RESOURCES;
    Irp = IoAllocateIrp(1, FALSE); /* Upper->StackSize would have to count Lower in */
    if (Irp == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    IoGetNextIrpStackLocation(Irp)->MajorFunction = IRP_MJ_INTERNAL_DEVICE_CONTROL;
    IoSetCompletionRoutine(Irp, Finished, NULL, TRUE, TRUE, TRUE);
    return IoCallDriver(Upper, Irp);
}
