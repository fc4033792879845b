/* A filter over the file system fails every read of the page file: memory that is in it is lost. */
#include <ntifs.h>

#define TAG 'RfgP'

NTSYSAPI ULONG NTAPI MmTrimAllSystemPagableMemory(ULONG PurgeTransition);

static PDEVICE_OBJECT Lower;
static volatile BOOLEAN FailPaging;

static NTSTATUS Dispatch(PDEVICE_OBJECT Device, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Device);
    if (FailPaging && (Irp->Flags & IRP_PAGING_IO) != 0 && IoGetCurrentIrpStackLocation(Irp)->MajorFunction == IRP_MJ_READ) {
        Irp->IoStatus.Status = STATUS_DEVICE_DATA_ERROR;
        Irp->IoStatus.Information = 0;
        IoCompleteRequest(Irp, IO_NO_INCREMENT);
        return STATUS_DEVICE_DATA_ERROR;
    }
    IoSkipCurrentIrpStackLocation(Irp);
    return IoCallDriver(Lower, Irp);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNICODE_STRING Volume;
    PDEVICE_OBJECT Filter, Target;
    PFILE_OBJECT File;
    volatile ULONG *Block;
    ULONG i;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    for (i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; ++i)
        Driver->MajorFunction[i] = Dispatch;
    Status = IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_DISK_FILE_SYSTEM, 0, FALSE, &Filter);
    if (!NT_SUCCESS(Status))
        return Status;
    RtlInitUnicodeString(&Volume, L"\\Device\\HostFsVolume");
    Status = IoGetDeviceObjectPointer(&Volume, FILE_READ_ATTRIBUTES, &File, &Target);
    if (!NT_SUCCESS(Status))
        return Status;
    Lower = IoAttachDeviceToDeviceStack(Filter, Target);
    ObDereferenceObject(File);
    if (Lower == NULL)
        return STATUS_NO_SUCH_DEVICE;
    Filter->Flags &= ~(ULONG)DO_DEVICE_INITIALIZING;
    Block = ExAllocatePoolWithTag(PagedPool, 4 * PAGE_SIZE, TAG);
    if (Block == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    Block[0] = 1234;
    MmTrimAllSystemPagableMemory(TRUE);
    FailPaging = TRUE;
    return Block[0] == 1234 ? STATUS_SUCCESS : STATUS_DATA_ERROR;
}
