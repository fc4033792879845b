/*
 * ramfs: a small file system over a disk of its own making, to show what a Windows file system is made of: a control
 * device that mounts volumes, a VPB, metadata in a stream file that the cache manager caches, files that are cached and
 * locked and mapped by FsRtl. One directory, sixteen files of at most 60 KiB.
 * The volume is mounted by the first open of \Device\RamFsDisk\NAME, and given up by FSCTL_DISMOUNT_VOLUME; then the
 * driver can be unloaded.
 */
#include "ramfs.h"

PDEVICE_OBJECT RamFsControlDevice;
PDEVICE_OBJECT RamFsDisk;
PDEVICE_OBJECT RamFsVolume;
static BOOLEAN Mounted;

NTSTATUS RamFsComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_DISK_INCREMENT);
    return Status;
}

static BOOLEAN NTAPI AcquireFile(PVOID Context, BOOLEAN Wait)
{
    return ExAcquireResourceSharedLite(((PFCB)Context)->Header.PagingIoResource, Wait);
}

static VOID NTAPI ReleaseFile(PVOID Context)
{
    ExReleaseResourceLite(((PFCB)Context)->Header.PagingIoResource);
}

CACHE_MANAGER_CALLBACKS RamFsCallbacks = {AcquireFile, ReleaseFile, AcquireFile, ReleaseFile};

void RamFsInitializeFcb(PFCB Fcb, ULONG Index, ULONG Size, ULONG ValidSize)
{
    RtlZeroMemory(Fcb, sizeof(*Fcb));
    Fcb->Index = Index;
    ExInitializeFastMutex(&Fcb->Mutex);
    FsRtlSetupAdvancedHeader(&Fcb->Header, &Fcb->Mutex);
    ExInitializeResourceLite(&Fcb->Resource);
    ExInitializeResourceLite(&Fcb->PagingResource);
    Fcb->Header.Resource = &Fcb->Resource;
    Fcb->Header.PagingIoResource = &Fcb->PagingResource;
    Fcb->Header.AllocationSize.QuadPart = Index == MAX_FILES ? Size : FILE_MAX_BYTES;
    Fcb->Header.FileSize.QuadPart = Size;
    Fcb->Header.ValidDataLength.QuadPart = ValidSize;
    FsRtlInitializeFileLock(&Fcb->Lock, NULL, NULL);
    FsRtlInitializeLargeMcb(&Fcb->Map, NonPagedPoolNx);
    if (Index == MAX_FILES)
        FsRtlAddLargeMcbEntry(&Fcb->Map, 0, 0, DATA_SECTOR);
    else
        FsRtlAddLargeMcbEntry(&Fcb->Map, 0, DATA_SECTOR + Index * FILE_SECTORS, FILE_SECTORS);
}

void RamFsUninitializeFcb(PFCB Fcb)
{
    FsRtlTeardownPerStreamContexts(&Fcb->Header);
    FsRtlUninitializeLargeMcb(&Fcb->Map);
    FsRtlUninitializeFileLock(&Fcb->Lock);
    ExDeleteResourceLite(&Fcb->PagingResource);
    ExDeleteResourceLite(&Fcb->Resource);
}

static NTSTATUS OnDiskDone(PDEVICE_OBJECT Device, PIRP Irp, PVOID Event)
{
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Irp);
    KeSetEvent(Event, IO_DISK_INCREMENT, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

/* The caller's locked pages go to the disk as they are. */
NTSTATUS RamFsDiskIo(PVCB Vcb, UCHAR Major, LONGLONG Offset, ULONG Length, PMDL Mdl)
{
    PIO_STACK_LOCATION Stack;
    NTSTATUS Status;
    KEVENT Event;
    PIRP Irp = IoAllocateIrp(Vcb->Disk->StackSize, FALSE);

    if (Irp == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    Irp->MdlAddress = Mdl;
    Stack = IoGetNextIrpStackLocation(Irp);
    Stack->MajorFunction = Major;
    Stack->Parameters.Read.Length = Length;
    Stack->Parameters.Read.ByteOffset.QuadPart = Offset;
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    IoSetCompletionRoutine(Irp, OnDiskDone, &Event, TRUE, TRUE, TRUE);
    IoCallDriver(Vcb->Disk, Irp);
    KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
    Status = Irp->IoStatus.Status;
    Irp->MdlAddress = NULL;
    IoFreeIrp(Irp);
    return Status;
}

PRAMFS_ENTRY RamFsPinDirectory(PVCB Vcb, PVOID *Bcb)
{
    LARGE_INTEGER Offset;
    PVOID Buffer;

    Offset.QuadPart = DIRECTORY_OFFSET;
    CcPinRead(Vcb->Metadata, &Offset, DIRECTORY_BYTES, PIN_WAIT, Bcb, &Buffer);
    return Buffer;
}

static NTSTATUS ReadHeader(PDEVICE_OBJECT Disk, RAMFS_HEADER *Header)
{
    IO_STATUS_BLOCK Iosb;
    LARGE_INTEGER Offset;
    NTSTATUS Status;
    KEVENT Event;
    PIRP Irp;
    PVOID Sector = ExAllocatePoolWithTag(NonPagedPoolNx, SECTOR_SIZE, RAMFS_TAG);

    if (Sector == NULL)
        return STATUS_INSUFFICIENT_RESOURCES;
    Offset.QuadPart = 0;
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    Irp = IoBuildSynchronousFsdRequest(IRP_MJ_READ, Disk, Sector, SECTOR_SIZE, &Offset, &Event, &Iosb);
    Status = STATUS_INSUFFICIENT_RESOURCES;
    if (Irp != NULL) {
        Status = IoCallDriver(Disk, Irp);
        KeWaitForSingleObject(&Event, Executive, KernelMode, FALSE, NULL);
        Status = Iosb.Status;
        *Header = *(RAMFS_HEADER *)Sector;
    }
    ExFreePoolWithTag(Sector, RAMFS_TAG);
    return Status;
}

static NTSTATUS CacheMetadata(PVCB Vcb)
{
    CC_FILE_SIZES Sizes;

    RamFsInitializeFcb(&Vcb->MetadataFcb, MAX_FILES, DATA_SECTOR * SECTOR_SIZE, DATA_SECTOR * SECTOR_SIZE);
    Vcb->Metadata = IoCreateStreamFileObjectLite(NULL, Vcb->Vpb->RealDevice);
    Vcb->Metadata->FsContext = &Vcb->MetadataFcb;
    Vcb->Metadata->SectionObjectPointer = &Vcb->MetadataFcb.Section;
    Sizes.AllocationSize = Sizes.FileSize = Sizes.ValidDataLength = Vcb->MetadataFcb.Header.FileSize;
    CcInitializeCacheMap(Vcb->Metadata, &Sizes, TRUE, &RamFsCallbacks, &Vcb->MetadataFcb);
    return STATUS_SUCCESS;
}

static NTSTATUS Mount(PIO_STACK_LOCATION Stack)
{
    PVPB Vpb = Stack->Parameters.MountVolume.Vpb;
    PDEVICE_OBJECT Disk = Stack->Parameters.MountVolume.DeviceObject;
    RAMFS_HEADER Header;
    NTSTATUS Status;
    PVCB Vcb;

    if (Mounted)
        return STATUS_UNRECOGNIZED_VOLUME;
    Status = ReadHeader(Disk, &Header);
    if (!NT_SUCCESS(Status))
        return Status;
    if (Header.Magic != RAMFS_MAGIC)
        return STATUS_UNRECOGNIZED_VOLUME;
    if (RamFsVolume == NULL) {
        Status = IoCreateDevice(RamFsControlDevice->DriverObject, sizeof(VCB), NULL, FILE_DEVICE_DISK_FILE_SYSTEM, 0, FALSE,
                                &RamFsVolume);
        if (!NT_SUCCESS(Status))
            return Status;
    }
    Vcb = RamFsVolume->DeviceExtension;
    RtlZeroMemory(Vcb, sizeof(*Vcb));
    Vcb->Disk = Disk;
    Vcb->Vpb = Vpb;
    ExInitializeResourceLite(&Vcb->Resource);
    FsRtlNotifyInitializeSync(&Vcb->NotifySync);
    InitializeListHead(&Vcb->NotifyList);
    Vpb->DeviceObject = RamFsVolume;
    Vpb->SerialNumber = Header.SerialNumber;
    Mounted = TRUE;
    DbgPrint("ramfs: mounted\n");
    return CacheMetadata(Vcb);
}

static NTSTATUS Dismount(PVCB Vcb)
{
    CACHE_UNINITIALIZE_EVENT Gone;
    ULONG i;

    for (i = 0; i < MAX_FILES; ++i) {
        if (Vcb->Open[i] != NULL)
            return STATUS_ACCESS_DENIED;
    }
    KeInitializeEvent(&Gone.Event, NotificationEvent, FALSE);
    CcUninitializeCacheMap(Vcb->Metadata, NULL, &Gone);
    KeWaitForSingleObject(&Gone.Event, Executive, KernelMode, FALSE, NULL);
    ObDereferenceObject(Vcb->Metadata);
    FsRtlNotifyCleanupAll(Vcb->NotifySync, &Vcb->NotifyList);
    FsRtlNotifyUninitializeSync(&Vcb->NotifySync);
    RamFsUninitializeFcb(&Vcb->MetadataFcb);
    ExDeleteResourceLite(&Vcb->Resource);
    Vcb->Vpb->Flags &= ~VPB_MOUNTED;
    Vcb->Vpb->DeviceObject = NULL;
    Mounted = FALSE;
    DbgPrint("ramfs: dismounted\n");
    return STATUS_SUCCESS;
}

static NTSTATUS FileSystemControl(PDEVICE_OBJECT Device, PIRP Irp)
{
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    NTSTATUS Status = STATUS_INVALID_DEVICE_REQUEST;

    if (Device == RamFsControlDevice && Stack->MinorFunction == IRP_MN_MOUNT_VOLUME)
        Status = Mount(Stack);
    else if (Device == RamFsVolume && Stack->MinorFunction == IRP_MN_VERIFY_VOLUME)
        Status = STATUS_SUCCESS;
    else if (Device == RamFsVolume && Stack->MinorFunction == IRP_MN_USER_FS_REQUEST &&
             Stack->Parameters.FileSystemControl.FsControlCode == FSCTL_DISMOUNT_VOLUME)
        Status = Dismount(Device->DeviceExtension);
    return RamFsComplete(Irp, Status, 0);
}

static NTSTATUS VolumeRequest(PVCB Vcb, PIRP Irp)
{
    switch (IoGetCurrentIrpStackLocation(Irp)->MajorFunction) {
    case IRP_MJ_CREATE:
        return RamFsCreate(Vcb, Irp);
    case IRP_MJ_CLEANUP:
        return RamFsCleanup(Vcb, Irp);
    case IRP_MJ_CLOSE:
        return RamFsClose(Vcb, Irp);
    case IRP_MJ_READ:
    case IRP_MJ_WRITE:
        return RamFsReadWrite(Vcb, Irp);
    case IRP_MJ_QUERY_INFORMATION:
        return RamFsQueryInformation(Vcb, Irp);
    case IRP_MJ_SET_INFORMATION:
        return RamFsSetInformation(Vcb, Irp);
    case IRP_MJ_DIRECTORY_CONTROL:
        return RamFsDirectoryControl(Vcb, Irp);
    case IRP_MJ_LOCK_CONTROL:
        return RamFsLockControl(Vcb, Irp);
    case IRP_MJ_FLUSH_BUFFERS:
        return RamFsFlush(Vcb, Irp);
    default:
        return RamFsComplete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
}

static NTSTATUS Dispatch(PDEVICE_OBJECT Device, PIRP Irp)
{
    NTSTATUS Status;

    if (IoGetCurrentIrpStackLocation(Irp)->MajorFunction == IRP_MJ_FILE_SYSTEM_CONTROL)
        return FileSystemControl(Device, Irp);
    if (Device != RamFsVolume)
        return RamDiskDispatch(Device, Irp);
    FsRtlEnterFileSystem();
    Status = VolumeRequest(Device->DeviceExtension, Irp);
    FsRtlExitFileSystem();
    return Status;
}

static VOID Unload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
    IoUnregisterFileSystem(RamFsControlDevice);
    if (RamFsVolume != NULL)
        IoDeleteDevice(RamFsVolume);
    IoDeleteDevice(RamFsControlDevice);
    RamDiskDelete(RamFsDisk);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\RamFs");
    NTSTATUS Status;
    ULONG Major;

    UNREFERENCED_PARAMETER(RegistryPath);
    for (Major = 0; Major <= IRP_MJ_MAXIMUM_FUNCTION; ++Major)
        Driver->MajorFunction[Major] = Dispatch;
    Driver->DriverUnload = Unload;
    Status = RamDiskCreate(Driver, &RamFsDisk);
    if (!NT_SUCCESS(Status))
        return Status;
    Status = IoCreateDevice(Driver, 0, &Name, FILE_DEVICE_DISK_FILE_SYSTEM, 0, FALSE, &RamFsControlDevice);
    if (!NT_SUCCESS(Status)) {
        RamDiskDelete(RamFsDisk);
        return Status;
    }
    IoRegisterFileSystem(RamFsControlDevice);
    return STATUS_SUCCESS;
}
