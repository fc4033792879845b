/* \Device\RamFsDisk: sectors in nonpaged pool. Reads and writes are direct I/O. */
#include "ramfs.h"

typedef struct _DISK_EXTENSION {
    PUCHAR Sectors;
} DISK_EXTENSION, *PDISK_EXTENSION;

static UNICODE_STRING DiskName = RTL_CONSTANT_STRING(L"\\Device\\RamFsDisk");

NTSTATUS RamDiskCreate(PDRIVER_OBJECT Driver, PDEVICE_OBJECT *Disk)
{
    PDISK_EXTENSION Extension;
    NTSTATUS Status = IoCreateDevice(Driver, sizeof(DISK_EXTENSION), &DiskName, FILE_DEVICE_DISK, 0, FALSE, Disk);

    if (!NT_SUCCESS(Status))
        return Status;
    Extension = (*Disk)->DeviceExtension;
    Extension->Sectors = ExAllocatePoolWithTag(NonPagedPoolNx, DISK_BYTES, RAMFS_TAG);
    if (Extension->Sectors == NULL) {
        IoDeleteDevice(*Disk);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlZeroMemory(Extension->Sectors, DISK_BYTES);
    ((RAMFS_HEADER *)Extension->Sectors)->Magic = RAMFS_MAGIC;
    ((RAMFS_HEADER *)Extension->Sectors)->SerialNumber = 0x52414D46;
    (*Disk)->Flags |= DO_DIRECT_IO;
    (*Disk)->Flags &= ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

void RamDiskDelete(PDEVICE_OBJECT Disk)
{
    ExFreePoolWithTag(((PDISK_EXTENSION)Disk->DeviceExtension)->Sectors, RAMFS_TAG);
    IoDeleteDevice(Disk);
}

NTSTATUS RamDiskDispatch(PDEVICE_OBJECT Disk, PIRP Irp)
{
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    PUCHAR Sectors = ((PDISK_EXTENSION)Disk->DeviceExtension)->Sectors;
    LONGLONG Offset = Stack->Parameters.Read.ByteOffset.QuadPart;
    ULONG Length = Stack->Parameters.Read.Length;
    PVOID Buffer;

    switch (Stack->MajorFunction) {
    case IRP_MJ_CREATE:
    case IRP_MJ_CLEANUP:
    case IRP_MJ_CLOSE:
        return RamFsComplete(Irp, STATUS_SUCCESS, 0);
    case IRP_MJ_READ:
    case IRP_MJ_WRITE:
        break;
    default:
        return RamFsComplete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
    if (Offset < 0 || Offset % SECTOR_SIZE != 0 || Length % SECTOR_SIZE != 0 || Offset + Length > DISK_BYTES)
        return RamFsComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    Buffer = MmGetSystemAddressForMdlSafe(Irp->MdlAddress, NormalPagePriority);
    if (Buffer == NULL)
        return RamFsComplete(Irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    if (Stack->MajorFunction == IRP_MJ_READ)
        RtlCopyMemory(Buffer, Sectors + Offset, Length);
    else
        RtlCopyMemory(Sectors + Offset, Buffer, Length);
    return RamFsComplete(Irp, STATUS_SUCCESS, Length);
}
