// Opening files: NtCreateFile -> IopCreateFile -> ObOpenObjectByName -> IopParseDevice -> the file system.
// Nothing on this way is pageable, and nothing blocks before the file system is called.
#include "io_internal.h"
#include "ke/service_call.h"
#include "nt/export.h"
#include "ob/security.h"
#include "user_mode.h"
#include "volume_mount.h"

namespace {

struct CreateRequest {
  ACCESS_STATE access_state;
  IO_SECURITY_CONTEXT security;
  IO_STATUS_BLOCK iosb;
};

NTSTATUS CheckDevice(PDEVICE_OBJECT device) {
  if (IopDeviceExtension(device)->ExtensionFlags & (DOE_UNLOAD_PENDING | DOE_DELETE_PENDING))
    return STATUS_NO_SUCH_DEVICE;
  if (device->Flags & DO_DEVICE_INITIALIZING) return STATUS_NO_SUCH_DEVICE;
  if ((device->Flags & DO_EXCLUSIVE) && device->ReferenceCount != 0) return STATUS_ACCESS_DENIED;
  return STATUS_SUCCESS;
}

ULONG FileFlags(const OPEN_PACKET* packet, ULONG attributes) {
  const ULONG options = packet->CreateOptions;
  ULONG flags = 0;
  if (options & (FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT)) flags |= FO_SYNCHRONOUS_IO;
  if (options & FILE_SYNCHRONOUS_IO_ALERT) flags |= FO_ALERTABLE_IO;
  if (options & FILE_NO_INTERMEDIATE_BUFFERING) flags |= FO_NO_INTERMEDIATE_BUFFERING;
  if (options & FILE_WRITE_THROUGH) flags |= FO_WRITE_THROUGH;
  if (options & FILE_SEQUENTIAL_ONLY) flags |= FO_SEQUENTIAL_ONLY;
  if (options & FILE_RANDOM_ACCESS) flags |= FO_RANDOM_ACCESS;
  if (!(attributes & OBJ_CASE_INSENSITIVE)) flags |= FO_OPENED_CASE_SENSITIVE;
  return flags;
}

// What a file is opened on besides a device.
struct Volume {
  PVPB vpb = nullptr;   // the mounted volume
  bool direct = false;  // the device itself, past its volume
};

// A device that volumes are mounted on: an open of the bare device for its attributes goes to the device, any
// other to the volume, which is mounted for it. A medium that no file system knows is the device's own.
NTSTATUS ChooseVolume(PDEVICE_OBJECT device, const OPEN_PACKET* packet, PCUNICODE_STRING name,
                      Volume* volume) {
  if (packet->RelatedFileObject != nullptr) {
    volume->direct = (packet->RelatedFileObject->Flags & FO_DIRECT_DEVICE_OPEN) != 0;
    volume->vpb = packet->RelatedFileObject->Vpb;
    return STATUS_SUCCESS;
  }
  if (device->Vpb == nullptr || device->Vpb->RealDevice != device) return STATUS_SUCCESS;
  constexpr ACCESS_MASK kOfTheDevice =
      SYNCHRONIZE | FILE_READ_ATTRIBUTES | READ_CONTROL | ACCESS_SYSTEM_SECURITY | WRITE_OWNER | WRITE_DAC;
  volume->direct = name->Length == 0 && !(packet->DesiredAccess & ~kOfTheDevice);
  if (volume->direct) return STATUS_SUCCESS;
  const NTSTATUS status = io::MountIfNeeded(device);
  volume->direct = status == STATUS_UNRECOGNIZED_VOLUME && name->Length == 0;
  if (volume->direct) return STATUS_SUCCESS;
  if (NT_SUCCESS(status)) volume->vpb = device->Vpb;
  return status;
}

NTSTATUS CreateFileObject(PDEVICE_OBJECT device, const OPEN_PACKET* packet, ULONG attributes,
                          PCUNICODE_STRING name, const Volume& volume, PFILE_OBJECT* result) {
  PVOID object;
  NTSTATUS status = ObCreateObject(KernelMode, IoFileObjectType, nullptr, KernelMode, nullptr,
                                   sizeof(FILE_OBJECT), 0, 0, &object);
  if (!NT_SUCCESS(status)) return status;
  auto* file = static_cast<PFILE_OBJECT>(object);
  file->Type = IO_TYPE_FILE;
  file->Size = sizeof(FILE_OBJECT);
  file->RelatedFileObject = packet->RelatedFileObject;
  file->Flags = FileFlags(packet, attributes);
  KeInitializeEvent(&file->Lock, SynchronizationEvent, FALSE);
  KeInitializeEvent(&file->Event, NotificationEvent, FALSE);
  KeInitializeSpinLock(&file->IrpListLock);
  InitializeListHead(&file->IrpList);
  if (name->Length != 0) {
    status = ob::DuplicateString(*name, NonPagedPoolNx, kNameTag, &file->FileName);
    if (!NT_SUCCESS(status)) {
      ObfDereferenceObject(object);
      return status;
    }
  }
  file->DeviceObject = device;
  InterlockedIncrement(&device->ReferenceCount);
  if (volume.direct) file->Flags |= FO_DIRECT_DEVICE_OPEN;
  if (volume.vpb != nullptr) {
    io::ReferenceVpb(volume.vpb);
    file->Vpb = volume.vpb;
  }
  *result = file;
  return STATUS_SUCCESS;
}

void FillCreateStack(PIRP irp, PFILE_OBJECT file, const OPEN_PACKET* packet, ULONG attributes,
                     CreateRequest* request) {
  PIO_STACK_LOCATION stack = IoGetNextIrpStackLocation(irp);
  stack->MajorFunction = packet->CreateFileType == CreateFileTypeNone        ? IRP_MJ_CREATE
                         : packet->CreateFileType == CreateFileTypeNamedPipe ? IRP_MJ_CREATE_NAMED_PIPE
                                                                             : IRP_MJ_CREATE_MAILSLOT;
  stack->Flags = static_cast<UCHAR>(packet->Options &
                                    (SL_FORCE_ACCESS_CHECK | SL_OPEN_PAGING_FILE | SL_OPEN_TARGET_DIRECTORY));
  if (!(attributes & OBJ_CASE_INSENSITIVE)) stack->Flags |= SL_CASE_SENSITIVE;
  stack->FileObject = file;
  stack->Parameters.Create.SecurityContext = &request->security;
  stack->Parameters.Create.Options =
      (packet->Disposition << 24) | (packet->CreateOptions & FILE_VALID_OPTION_FLAGS);
  stack->Parameters.Create.FileAttributes = packet->FileAttributes;
  stack->Parameters.Create.ShareAccess = packet->ShareAccess;
  stack->Parameters.Create.EaLength = packet->EaLength;
  if (packet->CreateFileType == CreateFileTypeNamedPipe)
    stack->Parameters.CreatePipe.Parameters =
        static_cast<PNAMED_PIPE_CREATE_PARAMETERS>(packet->ExtraCreateParameters);
  if (packet->CreateFileType == CreateFileTypeMailslot)
    stack->Parameters.CreateMailslot.Parameters =
        static_cast<PMAILSLOT_CREATE_PARAMETERS>(packet->ExtraCreateParameters);
}

// Sends IRP_MJ_CREATE and waits for its end.
NTSTATUS SendCreate(PDEVICE_OBJECT device, PFILE_OBJECT file, OPEN_PACKET* packet, ULONG attributes,
                    KPROCESSOR_MODE mode) {
  CreateRequest request;
  RtlZeroMemory(&request, sizeof(request));
  ACCESS_MASK access = packet->DesiredAccess;
  RtlMapGenericMask(&access, &IoFileObjectType->TypeInfo.GenericMapping);
  request.access_state.OriginalDesiredAccess = access;
  request.access_state.PreviouslyGrantedAccess = access;
  request.access_state.Flags = TOKEN_HAS_TRAVERSE_PRIVILEGE;
  request.security.AccessState = &request.access_state;
  request.security.DesiredAccess = access;
  request.security.FullCreateOptions = packet->CreateOptions;
  PIRP irp = IoAllocateIrp(device->StackSize, FALSE);
  if (irp == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  irp->Flags = IRP_CREATE_OPERATION | IRP_SYNCHRONOUS_API | IRP_DEFER_IO_COMPLETION;
  irp->RequestorMode = mode;
  irp->UserIosb = &request.iosb;
  irp->Tail.Overlay.Thread = reinterpret_cast<PETHREAD>(KeGetCurrentThread());
  irp->Tail.Overlay.OriginalFileObject = file;
  irp->Overlay.AllocationSize = packet->AllocationSize;
  irp->AssociatedIrp.SystemBuffer = packet->EaBuffer;
  irp->Tail.Overlay.AuxiliaryBuffer = static_cast<PCHAR>(packet->EcpList);  // FsRtlGetEcpListFromIrp
  FillCreateStack(irp, file, packet, attributes, &request);
  IopQueueThreadIrp(irp);
  NTSTATUS status = IofCallDriver(device, irp);
  if (status == STATUS_PENDING) {
    KeWaitForSingleObject(&file->Event, Executive, KernelMode, FALSE, nullptr);
    status = request.iosb.Status;
    packet->Information = request.iosb.Information;
  } else {
    packet->Information = irp->IoStatus.Information;
    IopCompleteRequest(irp, file);
  }
  return status;
}

// A file whose open failed: no cleanup, no close for the file system.
void DiscardFileObject(PFILE_OBJECT file) {
  PDEVICE_OBJECT device = file->DeviceObject;
  PVPB vpb = file->Vpb;
  file->DeviceObject = nullptr;
  file->Vpb = nullptr;
  ObfDereferenceObject(file);
  if (vpb != nullptr) io::DereferenceVpb(vpb);
  IopDecrementDeviceObjectRef(device);
}

// The device that a create goes to: the top of the stack, or one of the stack that the caller names.
NTSTATUS TargetOf(PFILE_OBJECT file, PDEVICE_OBJECT hint, PDEVICE_OBJECT* target) {
  *target = IoGetRelatedDeviceObject(file);
  if (hint == nullptr) return STATUS_SUCCESS;
  PDEVICE_OBJECT device = IoGetBaseFileSystemDeviceObject(file);
  if (device != nullptr && device->Vpb != nullptr && device->Vpb->DeviceObject != nullptr &&
      file->Vpb != nullptr)
    device = file->Vpb->DeviceObject;
  while (device != nullptr && device != hint) device = device->AttachedDevice;
  if (device == nullptr) return STATUS_INVALID_DEVICE_OBJECT_PARAMETER;
  *target = hint;
  return STATUS_SUCCESS;
}

// A file system or filter has put another name into the file object: the open goes on from there.
bool TakeReparseName(PFILE_OBJECT file, OPEN_PACKET* packet) {
  if (packet->Information > IO_REMOUNT || file->FileName.Length == 0) return false;
  packet->ReparseName = file->FileName;
  file->FileName = {};
  return true;
}

}  // namespace

extern "C" NTSTATUS NTAPI IopParseDevice(PVOID ParseObject, PVOID, PACCESS_STATE, KPROCESSOR_MODE AccessMode,
                                         ULONG Attributes, PUNICODE_STRING, PUNICODE_STRING RemainingName,
                                         PVOID Context, PSECURITY_QUALITY_OF_SERVICE, PVOID* Object) {
  *Object = nullptr;
  auto* packet = static_cast<POPEN_PACKET>(Context);
  if (packet == nullptr || packet->Type != IO_TYPE_OPEN_PACKET || packet->Size != sizeof(OPEN_PACKET))
    return STATUS_OBJECT_TYPE_MISMATCH;
  auto* device = static_cast<PDEVICE_OBJECT>(ParseObject);
  packet->ParseCheck = TRUE;
  NTSTATUS status = packet->RelatedFileObject != nullptr ? STATUS_SUCCESS : CheckDevice(device);
  // Names below a device are its driver's affair, unless the driver leaves them to the device's descriptor.
  const bool guarded = RemainingName->Length == 0 || (device->Characteristics & FILE_DEVICE_SECURE_OPEN) != 0;
  if (NT_SUCCESS(status) && packet->RelatedFileObject == nullptr && guarded) {
    ACCESS_MASK granted;
    status = ob::CheckAccess(device, packet->DesiredAccess, Attributes, AccessMode, nullptr, &granted);
  }
  PFILE_OBJECT file = nullptr;
  Volume volume;
  if (NT_SUCCESS(status)) status = ChooseVolume(device, packet, RemainingName, &volume);
  if (NT_SUCCESS(status)) status = CreateFileObject(device, packet, Attributes, RemainingName, volume, &file);
  if (!NT_SUCCESS(status)) return packet->FinalStatus = status;
  PDEVICE_OBJECT target;
  status = TargetOf(file, packet->DeviceHint, &target);
  if (NT_SUCCESS(status)) status = SendCreate(target, file, packet, Attributes, AccessMode);
  if (status == STATUS_REPARSE)
    status =
        TakeReparseName(file, packet) ? STATUS_REPARSE_POINT_NOT_RESOLVED : STATUS_IO_REPARSE_TAG_NOT_HANDLED;
  packet->FinalStatus = status;
  if (!NT_SUCCESS(status)) {
    DiscardFileObject(file);
    return status;
  }
  file->Flags |= FO_FILE_OPEN;
  file->RelatedFileObject = nullptr;  // valid during the create only
  packet->FileObject = file;
  *Object = file;
  return STATUS_SUCCESS;
}

extern "C" NTSTATUS NTAPI IopParseFile(PVOID ParseObject, PVOID ObjectType, PACCESS_STATE AccessState,
                                       KPROCESSOR_MODE AccessMode, ULONG Attributes,
                                       PUNICODE_STRING CompleteName, PUNICODE_STRING RemainingName,
                                       PVOID Context, PSECURITY_QUALITY_OF_SERVICE SecurityQos,
                                       PVOID* Object) {
  *Object = nullptr;
  auto* packet = static_cast<POPEN_PACKET>(Context);
  if (packet == nullptr || packet->Type != IO_TYPE_OPEN_PACKET) return STATUS_OBJECT_TYPE_MISMATCH;
  auto* file = static_cast<PFILE_OBJECT>(ParseObject);
  packet->RelatedFileObject = file;
  return IopParseDevice(file->DeviceObject, ObjectType, AccessState, AccessMode, Attributes, CompleteName,
                        RemainingName, Context, SecurityQos, Object);
}

namespace {

NTSTATUS CheckCreateParameters(ACCESS_MASK access, ULONG attributes, ULONG share, ULONG disposition,
                               ULONG options) {
  constexpr ULONG kSynchronous = FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT;
  if ((attributes & ~FILE_ATTRIBUTE_VALID_FLAGS) || (share & ~FILE_SHARE_VALID_FLAGS) ||
      disposition > FILE_MAXIMUM_DISPOSITION || (options & ~FILE_VALID_OPTION_FLAGS)) {
    return STATUS_INVALID_PARAMETER;
  }
  ACCESS_MASK mapped = access;
  RtlMapGenericMask(&mapped, &IoFileObjectType->TypeInfo.GenericMapping);
  if ((options & kSynchronous) == kSynchronous) return STATUS_INVALID_PARAMETER;
  if ((options & kSynchronous) && !(mapped & (SYNCHRONIZE | MAXIMUM_ALLOWED)))
    return STATUS_INVALID_PARAMETER;
  if ((options & FILE_DELETE_ON_CLOSE) && !(mapped & (DELETE | MAXIMUM_ALLOWED)))
    return STATUS_INVALID_PARAMETER;
  if ((options & (FILE_DIRECTORY_FILE | FILE_NON_DIRECTORY_FILE)) ==
      (FILE_DIRECTORY_FILE | FILE_NON_DIRECTORY_FILE)) {
    return STATUS_INVALID_PARAMETER;
  }
  if (options & FILE_DIRECTORY_FILE) {
    constexpr ULONG kAllowed = FILE_DIRECTORY_FILE | kSynchronous | FILE_WRITE_THROUGH |
                               FILE_COMPLETE_IF_OPLOCKED | FILE_OPEN_FOR_BACKUP_INTENT |
                               FILE_DELETE_ON_CLOSE | FILE_OPEN_FOR_FREE_SPACE_QUERY | FILE_OPEN_BY_FILE_ID |
                               FILE_NO_COMPRESSION | FILE_OPEN_REPARSE_POINT | FILE_OPEN_REQUIRING_OPLOCK;
    if (options & ~kAllowed) return STATUS_INVALID_PARAMETER;
    if (disposition != FILE_CREATE && disposition != FILE_OPEN && disposition != FILE_OPEN_IF)
      return STATUS_INVALID_PARAMETER;
  }
  if ((options & FILE_NO_INTERMEDIATE_BUFFERING) && (mapped & FILE_APPEND_DATA) &&
      !(mapped & FILE_WRITE_DATA)) {
    return STATUS_INVALID_PARAMETER;
  }
  return STATUS_SUCCESS;
}

}  // namespace

namespace {

constexpr ULONG kMaxReparses = 63;

// ObOpenObjectByName, again with each name that the file systems put in the place of the one before.
NTSTATUS OpenFollowingReparses(POBJECT_ATTRIBUTES attributes, OPEN_PACKET* packet, PHANDLE handle) {
  OBJECT_ATTRIBUTES current = *attributes;
  UNICODE_STRING name = {};
  for (ULONG reparses = 0;; ++reparses) {
    const NTSTATUS status = ObOpenObjectByName(
        &current, nullptr, static_cast<KPROCESSOR_MODE>(KeGetCurrentThread()->PreviousMode), nullptr,
        packet->DesiredAccess, packet, handle);
    if (name.Buffer != nullptr) ExFreePool(name.Buffer);
    if (packet->ReparseName.Buffer == nullptr) return status;
    name = packet->ReparseName;
    packet->ReparseName = {};
    packet->RelatedFileObject = nullptr;
    packet->ParseCheck = FALSE;
    packet->FinalStatus = STATUS_SUCCESS;
    current.RootDirectory = nullptr;
    current.ObjectName = &name;
    if (reparses == kMaxReparses) {
      ExFreePool(name.Buffer);
      return STATUS_REPARSE_POINT_NOT_RESOLVED;
    }
  }
}

}  // namespace

extern "C" NTSTATUS IopCreateFile(PHANDLE FileHandle, ACCESS_MASK DesiredAccess,
                                  POBJECT_ATTRIBUTES ObjectAttributes, PIO_STATUS_BLOCK IoStatusBlock,
                                  PLARGE_INTEGER AllocationSize, ULONG FileAttributes, ULONG ShareAccess,
                                  ULONG Disposition, ULONG CreateOptions, PVOID EaBuffer, ULONG EaLength,
                                  CREATE_FILE_TYPE CreateFileType, PVOID InternalParameters, ULONG Options,
                                  PDEVICE_OBJECT DeviceHint, PVOID EcpList) {
  if (!(Options & IO_NO_PARAMETER_CHECKING)) {
    NTSTATUS status =
        CheckCreateParameters(DesiredAccess, FileAttributes, ShareAccess, Disposition, CreateOptions);
    if (NT_SUCCESS(status) && EaLength != 0) {
      ULONG wrong;
      status = IoCheckEaBufferValidity(static_cast<PFILE_FULL_EA_INFORMATION>(EaBuffer), EaLength, &wrong);
      if (!NT_SUCCESS(status)) *IoStatusBlock = {{status}, wrong};
    }
    if (!NT_SUCCESS(status)) return status;
  }
  OPEN_PACKET packet = {};
  packet.Type = IO_TYPE_OPEN_PACKET;
  packet.Size = sizeof(OPEN_PACKET);
  packet.FinalStatus = STATUS_SUCCESS;
  if (AllocationSize != nullptr) packet.AllocationSize = *AllocationSize;
  packet.CreateOptions = CreateOptions;
  packet.FileAttributes = static_cast<USHORT>(FileAttributes);
  packet.ShareAccess = static_cast<USHORT>(ShareAccess);
  packet.Disposition = Disposition;
  packet.DesiredAccess = DesiredAccess;
  packet.EaBuffer = EaBuffer;
  packet.EaLength = EaLength;
  packet.Options = Options;
  packet.CreateFileType = CreateFileType;
  packet.ExtraCreateParameters = InternalParameters;
  packet.DeviceHint = DeviceHint;
  packet.EcpList = EcpList;
  NTSTATUS status = OpenFollowingReparses(ObjectAttributes, &packet, FileHandle);
  if (!packet.ParseCheck) {
    if (NT_SUCCESS(status)) {  // the name led to an object that is no file
      ZwClose(*FileHandle);
      *FileHandle = nullptr;
      status = STATUS_OBJECT_TYPE_MISMATCH;
    }
    return status;
  }
  if (!NT_SUCCESS(packet.FinalStatus)) {
    if (NT_WARNING(packet.FinalStatus)) *IoStatusBlock = {{packet.FinalStatus}, packet.Information};
    return packet.FinalStatus;
  }
  if (!NT_SUCCESS(status)) return status;
  packet.FileObject->Flags |= FO_HANDLE_CREATED;
  IoStatusBlock->Status = packet.FinalStatus;
  IoStatusBlock->Information = packet.Information;
  return packet.FinalStatus;
}

namespace {

constexpr ULONG kMaximumEaLength = 0x10000;

struct UserCreate {
  HANDLE handle = nullptr;
  IO_STATUS_BLOCK iosb = {};
  LARGE_INTEGER allocation = {};
  io::CapturedAttributes attributes;
  io::CapturedBuffer ea;
};

// What NtCreateFile and NtOpenFile do for a program: everything that it points to is captured first.
NTSTATUS CreateFileForUser(PHANDLE FileHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                           PIO_STATUS_BLOCK IoStatusBlock, PLARGE_INTEGER AllocationSize,
                           ULONG FileAttributes, ULONG ShareAccess, ULONG Disposition, ULONG CreateOptions,
                           PVOID EaBuffer, ULONG EaLength) {
  UserCreate create;
  NTSTATUS status = io::ProbeCallerWrite(FileHandle, sizeof(HANDLE), sizeof(HANDLE));
  if (NT_SUCCESS(status))
    status = io::ProbeCallerWrite(IoStatusBlock, sizeof(IO_STATUS_BLOCK), sizeof(ULONG));
  if (NT_SUCCESS(status) && AllocationSize != nullptr)
    status = io::CopyFromCaller(&create.allocation, AllocationSize, sizeof(create.allocation));
  if (NT_SUCCESS(status)) status = create.attributes.Capture(ObjectAttributes);
  const bool has_ea = EaBuffer != nullptr && EaLength != 0;
  if (NT_SUCCESS(status) && has_ea)
    status = EaLength <= kMaximumEaLength ? create.ea.Capture(EaBuffer, EaLength) : STATUS_EA_TOO_LARGE;
  if (!NT_SUCCESS(status)) return status;
  create.iosb.Status = STATUS_PENDING;
  const NTSTATUS opened = IopCreateFile(&create.handle, DesiredAccess, create.attributes.get(), &create.iosb,
                                        AllocationSize != nullptr ? &create.allocation : nullptr,
                                        FileAttributes, ShareAccess, Disposition, CreateOptions,
                                        create.ea.get(), EaLength, CreateFileTypeNone, nullptr, 0, nullptr);
  if (create.iosb.Status != STATUS_PENDING)
    (void)io::CopyToCaller(IoStatusBlock, &create.iosb, sizeof(create.iosb));
  if (!NT_SUCCESS(opened)) return opened;
  status = io::CopyToCaller(FileHandle, &create.handle, sizeof(create.handle));
  if (NT_SUCCESS(status)) return opened;
  NtClose(create.handle);  // the program took the memory for it away
  return status;
}

}  // namespace

/// Creates or opens a file; see ZwCreateFile.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: as ZwCreateFile.
/// Source: WDK ntifs/NtCreateFile.
NT_EXPORT(NtCreateFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.* IoFiles.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtCreateFile(
    PHANDLE FileHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
    PIO_STATUS_BLOCK IoStatusBlock, PLARGE_INTEGER AllocationSize, ULONG FileAttributes, ULONG ShareAccess,
    ULONG CreateDisposition, ULONG CreateOptions, PVOID EaBuffer, ULONG EaLength) {
  if (io::IsUserCaller()) {
    return CreateFileForUser(FileHandle, DesiredAccess, ObjectAttributes, IoStatusBlock, AllocationSize,
                             FileAttributes, ShareAccess, CreateDisposition, CreateOptions, EaBuffer,
                             EaLength);
  }
  return IopCreateFile(FileHandle, DesiredAccess, ObjectAttributes, IoStatusBlock, AllocationSize,
                       FileAttributes, ShareAccess, CreateDisposition, CreateOptions, EaBuffer, EaLength,
                       CreateFileTypeNone, nullptr, 0, nullptr);
}

/// Creates or opens a file or device. A call at raised IRQL is checked by nobody, as on Windows' free build:
/// what becomes of it depends on what the file system touches. Extended attributes are checked and handed to
/// the file system; C: has none.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: reparse points that a file system answers with data (links, mount points) are not
/// followed: STATUS_IO_REPARSE_TAG_NOT_HANDLED.
/// Source: WDK wdm/ZwCreateFile.
NT_EXPORT(ZwCreateFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.* IoFiles.*");
extern "C" NTSTATUS NTAPI ZwCreateFile(PHANDLE FileHandle, ACCESS_MASK DesiredAccess,
                                       POBJECT_ATTRIBUTES ObjectAttributes, PIO_STATUS_BLOCK IoStatusBlock,
                                       PLARGE_INTEGER AllocationSize, ULONG FileAttributes, ULONG ShareAccess,
                                       ULONG CreateDisposition, ULONG CreateOptions, PVOID EaBuffer,
                                       ULONG EaLength) {
  return ke::CallService(NtCreateFile, FileHandle, DesiredAccess, ObjectAttributes, IoStatusBlock,
                         AllocationSize, FileAttributes, ShareAccess, CreateDisposition, CreateOptions,
                         EaBuffer, EaLength);
}

/// Opens an existing file; see ZwOpenFile.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: as ZwCreateFile.
/// Source: WDK ntifs/NtOpenFile.
NT_EXPORT(NtOpenFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.* IoFiles.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtOpenFile(PHANDLE FileHandle, ACCESS_MASK DesiredAccess,
                                                       POBJECT_ATTRIBUTES ObjectAttributes,
                                                       PIO_STATUS_BLOCK IoStatusBlock, ULONG ShareAccess,
                                                       ULONG OpenOptions) {
  if (io::IsUserCaller()) {
    return CreateFileForUser(FileHandle, DesiredAccess, ObjectAttributes, IoStatusBlock, nullptr, 0,
                             ShareAccess, FILE_OPEN, OpenOptions, nullptr, 0);
  }
  return IopCreateFile(FileHandle, DesiredAccess, ObjectAttributes, IoStatusBlock, nullptr, 0, ShareAccess,
                       FILE_OPEN, OpenOptions, nullptr, 0, CreateFileTypeNone, nullptr, 0, nullptr);
}

/// Opens an existing file or device.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: as ZwCreateFile.
/// Source: WDK wdm/ZwOpenFile.
NT_EXPORT(ZwOpenFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.* IoFiles.*");
extern "C" NTSTATUS NTAPI ZwOpenFile(PHANDLE FileHandle, ACCESS_MASK DesiredAccess,
                                     POBJECT_ATTRIBUTES ObjectAttributes, PIO_STATUS_BLOCK IoStatusBlock,
                                     ULONG ShareAccess, ULONG OpenOptions) {
  return ke::CallService(NtOpenFile, FileHandle, DesiredAccess, ObjectAttributes, IoStatusBlock, ShareAccess,
                         OpenOptions);
}

/// ZwCreateFile for drivers, with options (IO_NO_PARAMETER_CHECKING, IO_OPEN_TARGET_DIRECTORY, ...).
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: as ZwCreateFile.
/// Source: WDK wdm/IoCreateFile.
NT_EXPORT(IoCreateFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.* IoFiles.*");
extern "C" NTSTATUS NTAPI IoCreateFile(PHANDLE FileHandle, ACCESS_MASK DesiredAccess,
                                       POBJECT_ATTRIBUTES ObjectAttributes, PIO_STATUS_BLOCK IoStatusBlock,
                                       PLARGE_INTEGER AllocationSize, ULONG FileAttributes, ULONG ShareAccess,
                                       ULONG Disposition, ULONG CreateOptions, PVOID EaBuffer, ULONG EaLength,
                                       CREATE_FILE_TYPE CreateFileType, PVOID InternalParameters,
                                       ULONG Options) {
  return IopCreateFile(FileHandle, DesiredAccess, ObjectAttributes, IoStatusBlock, AllocationSize,
                       FileAttributes, ShareAccess, Disposition, CreateOptions, EaBuffer, EaLength,
                       CreateFileType, InternalParameters, Options, nullptr);
}

/// IoCreateFile with a driver context: a device of the stack that the create goes to, extra create
/// parameters.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: there are no transactions: one is refused with STATUS_INVALID_PARAMETER.
/// Source: WDK ntddk/IoCreateFileEx.
NT_EXPORT(IoCreateFileEx, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.* IoFiles.*");
extern "C" NTSTATUS NTAPI IoCreateFileEx(PHANDLE FileHandle, ACCESS_MASK DesiredAccess,
                                         POBJECT_ATTRIBUTES ObjectAttributes, PIO_STATUS_BLOCK IoStatusBlock,
                                         PLARGE_INTEGER AllocationSize, ULONG FileAttributes,
                                         ULONG ShareAccess, ULONG Disposition, ULONG CreateOptions,
                                         PVOID EaBuffer, ULONG EaLength, CREATE_FILE_TYPE CreateFileType,
                                         PVOID InternalParameters, ULONG Options,
                                         PIO_DRIVER_CREATE_CONTEXT DriverContext) {
  IO_DRIVER_CREATE_CONTEXT none = {};
  const IO_DRIVER_CREATE_CONTEXT* context = DriverContext != nullptr ? DriverContext : &none;
  if (context->TxnParameters != nullptr) return STATUS_INVALID_PARAMETER;
  return IopCreateFile(FileHandle, DesiredAccess, ObjectAttributes, IoStatusBlock, AllocationSize,
                       FileAttributes, ShareAccess, Disposition, CreateOptions, EaBuffer, EaLength,
                       CreateFileType, InternalParameters, Options,
                       static_cast<PDEVICE_OBJECT>(context->DeviceObjectHint), context->ExtraCreateParameter);
}

/// IoCreateFile that sends the request to a device of the stack instead of to its top.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: as ZwCreateFile.
/// Source: WDK ntddk/IoCreateFileSpecifyDeviceObjectHint.
NT_EXPORT(IoCreateFileSpecifyDeviceObjectHint, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.* IoFiles.*");
extern "C" NTSTATUS NTAPI IoCreateFileSpecifyDeviceObjectHint(
    PHANDLE FileHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
    PIO_STATUS_BLOCK IoStatusBlock, PLARGE_INTEGER AllocationSize, ULONG FileAttributes, ULONG ShareAccess,
    ULONG Disposition, ULONG CreateOptions, PVOID EaBuffer, ULONG EaLength, CREATE_FILE_TYPE CreateFileType,
    PVOID InternalParameters, ULONG Options, PVOID DeviceObject) {
  return IopCreateFile(FileHandle, DesiredAccess, ObjectAttributes, IoStatusBlock, AllocationSize,
                       FileAttributes, ShareAccess, Disposition, CreateOptions, EaBuffer, EaLength,
                       CreateFileType, InternalParameters, Options,
                       static_cast<PDEVICE_OBJECT>(DeviceObject));
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtDeleteFile(POBJECT_ATTRIBUTES ObjectAttributes) {
  HANDLE file;
  IO_STATUS_BLOCK iosb;
  NTSTATUS status = IopCreateFile(&file, DELETE, ObjectAttributes, &iosb, nullptr, 0,
                                  FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, FILE_OPEN,
                                  FILE_DELETE_ON_CLOSE, nullptr, 0, CreateFileTypeNone, nullptr, 0, nullptr);
  return NT_SUCCESS(status) ? NtClose(file) : status;
}

/// Deletes a file: opens it for deletion and closes it.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ZwDeleteFile.
NT_EXPORT(ZwDeleteFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.*");
extern "C" NTSTATUS NTAPI ZwDeleteFile(POBJECT_ATTRIBUTES ObjectAttributes) {
  return ke::CallService(NtDeleteFile, ObjectAttributes);
}

/// The device that a name leads to and a file opened on it (referenced; dereference the file when done, the
/// device is the top of its stack).
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoGetDeviceObjectPointer.
NT_EXPORT(IoGetDeviceObjectPointer, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.*");
extern "C" NTSTATUS NTAPI IoGetDeviceObjectPointer(PUNICODE_STRING ObjectName, ACCESS_MASK DesiredAccess,
                                                   PFILE_OBJECT* FileObject, PDEVICE_OBJECT* DeviceObject) {
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, ObjectName, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, nullptr,
                             nullptr);
  HANDLE handle;
  IO_STATUS_BLOCK iosb;
  NTSTATUS status = ZwOpenFile(&handle, DesiredAccess, &attributes, &iosb, 0, FILE_NON_DIRECTORY_FILE);
  if (!NT_SUCCESS(status)) return status;
  PVOID file;
  status = ob::ReferenceHandle(handle, IoFileObjectType, &file, nullptr);
  if (NT_SUCCESS(status)) {
    *FileObject = static_cast<PFILE_OBJECT>(file);
    *DeviceObject = IoGetRelatedDeviceObject(*FileObject);
  }
  ZwClose(handle);
  return status;
}
