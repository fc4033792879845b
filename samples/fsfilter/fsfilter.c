/*
 * A legacy file-system filter: it learns of file systems by IoRegisterFsRegistrationChange, puts a device on top of each
 * one's control device (for C: that is the volume), passes every request on, and prints the creates that it sees. It
 * detaches when it is unloaded, which is safe only while no request is on its way through it: it counts them.
 */
#include <ntifs.h>

#define FILTER_TAG 'tliF'

typedef struct _FILTER_EXTENSION {
    PDEVICE_OBJECT Lower;
    PDEVICE_OBJECT FileSystem;
    ULONG Creates;
} FILTER_EXTENSION, *PFILTER_EXTENSION;

static PDRIVER_OBJECT Driver;
static IO_REMOVE_LOCK InFlight;

static NTSTATUS OnDone(PDEVICE_OBJECT Device, PIRP Irp, PVOID Context)
{
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Context);
    if (Irp->PendingReturned)
        IoMarkIrpPending(Irp);
    IoReleaseRemoveLock(&InFlight, Irp);
    return STATUS_CONTINUE_COMPLETION;
}

static NTSTATUS PassOn(PDEVICE_OBJECT Device, PIRP Irp)
{
    PFILTER_EXTENSION Filter = Device->DeviceExtension;
    NTSTATUS Status = IoAcquireRemoveLock(&InFlight, Irp);

    if (!NT_SUCCESS(Status)) {
        Irp->IoStatus.Status = Status;
        Irp->IoStatus.Information = 0;
        IoCompleteRequest(Irp, IO_NO_INCREMENT);
        return Status;
    }
    IoCopyCurrentIrpStackLocationToNext(Irp);
    IoSetCompletionRoutine(Irp, OnDone, NULL, TRUE, TRUE, TRUE);
    return IoCallDriver(Filter->Lower, Irp);
}

static NTSTATUS OnCreate(PDEVICE_OBJECT Device, PIRP Irp)
{
    PFILTER_EXTENSION Filter = Device->DeviceExtension;
    PFILE_OBJECT File = IoGetCurrentIrpStackLocation(Irp)->FileObject;

    InterlockedIncrement((volatile LONG *)&Filter->Creates);
    DbgPrint("fsfilter: create %wZ\n", &File->FileName);
    return PassOn(Device, Irp);
}

static void Attach(PDEVICE_OBJECT FileSystem)
{
    PDEVICE_OBJECT Device;
    PFILTER_EXTENSION Filter;

    if (!NT_SUCCESS(IoCreateDevice(Driver, sizeof(FILTER_EXTENSION), NULL, FileSystem->DeviceType,
                                   FileSystem->Characteristics, FALSE, &Device)))
        return;
    Filter = Device->DeviceExtension;
    Filter->FileSystem = FileSystem;
    Device->Flags |= FileSystem->Flags & (DO_BUFFERED_IO | DO_DIRECT_IO);
    if (!NT_SUCCESS(IoAttachDeviceToDeviceStackSafe(Device, FileSystem, &Filter->Lower))) {
        IoDeleteDevice(Device);
        return;
    }
    Device->Flags &= ~DO_DEVICE_INITIALIZING;
    DbgPrint("fsfilter: attached to a file system of %wZ\n", &FileSystem->DriverObject->DriverName);
}

static void Detach(PDEVICE_OBJECT Device)
{
    PFILTER_EXTENSION Filter = Device->DeviceExtension;

    DbgPrint("fsfilter: detached after %lu creates\n", Filter->Creates);
    IoDetachDevice(Filter->Lower);
    IoDeleteDevice(Device);
}

static VOID NTAPI OnFileSystem(PDEVICE_OBJECT FileSystem, BOOLEAN Active)
{
    PDEVICE_OBJECT Device;

    if (Active) {
        Attach(FileSystem);
        return;
    }
    for (Device = Driver->DeviceObject; Device != NULL; Device = Device->NextDevice) {
        if (((PFILTER_EXTENSION)Device->DeviceExtension)->FileSystem == FileSystem) {
            Detach(Device);
            return;
        }
    }
}

static VOID Unload(PDRIVER_OBJECT DriverObject)
{
    PDEVICE_OBJECT Device;

    IoUnregisterFsRegistrationChange(DriverObject, OnFileSystem);
    for (Device = DriverObject->DeviceObject; Device != NULL; Device = Device->NextDevice)
        IoDetachDevice(((PFILTER_EXTENSION)Device->DeviceExtension)->Lower);
    IoAcquireRemoveLock(&InFlight, DriverObject);
    IoReleaseRemoveLockAndWait(&InFlight, DriverObject);
    while ((Device = DriverObject->DeviceObject) != NULL) {
        DbgPrint("fsfilter: detached after %lu creates\n", ((PFILTER_EXTENSION)Device->DeviceExtension)->Creates);
        IoDeleteDevice(Device);
    }
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    ULONG Major;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver = DriverObject;
    IoInitializeRemoveLock(&InFlight, FILTER_TAG, 0, 0);
    for (Major = 0; Major <= IRP_MJ_MAXIMUM_FUNCTION; ++Major)
        DriverObject->MajorFunction[Major] = PassOn;
    DriverObject->MajorFunction[IRP_MJ_CREATE] = OnCreate;
    DriverObject->DriverUnload = Unload;
    return IoRegisterFsRegistrationChange(DriverObject, OnFileSystem);
}
