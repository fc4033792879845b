// Querying and setting facts of files and volumes.
#include "io_internal.h"
#include "ke/service_call.h"
#include "nt/export.h"

namespace {

struct ClassRule {
  ULONG minimum;       // bytes that the buffer must have; 0: the class is not served
  ACCESS_MASK access;  // what the handle needs
};

ClassRule QueryRule(FILE_INFORMATION_CLASS information_class) {
  switch (information_class) {
    case FileBasicInformation:
      return {sizeof(FILE_BASIC_INFORMATION), FILE_READ_ATTRIBUTES};
    case FileStandardInformation:
      return {sizeof(FILE_STANDARD_INFORMATION), 0};
    case FileInternalInformation:
      return {sizeof(FILE_INTERNAL_INFORMATION), 0};
    case FileEaInformation:
      return {sizeof(FILE_EA_INFORMATION), 0};
    case FileAccessInformation:
      return {sizeof(FILE_ACCESS_INFORMATION), 0};
    case FileNameInformation:
      return {FIELD_OFFSET(FILE_NAME_INFORMATION, FileName) + sizeof(WCHAR), 0};
    case FileNormalizedNameInformation:
      return {FIELD_OFFSET(FILE_NAME_INFORMATION, FileName) + sizeof(WCHAR), 0};
    case FilePositionInformation:
      return {sizeof(FILE_POSITION_INFORMATION), FILE_READ_DATA};
    case FileModeInformation:
      return {sizeof(FILE_MODE_INFORMATION), 0};
    case FileAlignmentInformation:
      return {sizeof(FILE_ALIGNMENT_INFORMATION), 0};
    case FileAllInformation:
      return {sizeof(FILE_ALL_INFORMATION), FILE_READ_ATTRIBUTES};
    case FileNetworkOpenInformation:
      return {sizeof(FILE_NETWORK_OPEN_INFORMATION), FILE_READ_ATTRIBUTES};
    case FileAttributeTagInformation:
      return {sizeof(FILE_ATTRIBUTE_TAG_INFORMATION), FILE_READ_ATTRIBUTES};
    case FileStreamInformation:
      return {sizeof(FILE_STREAM_INFORMATION), 0};
    default:
      return {0, 0};
  }
}

ClassRule SetRule(FILE_INFORMATION_CLASS information_class) {
  switch (information_class) {
    case FileBasicInformation:
      return {sizeof(FILE_BASIC_INFORMATION), FILE_WRITE_ATTRIBUTES};
    case FileRenameInformation:
    case FileRenameInformationEx:
    case FileLinkInformation:
      return {sizeof(FILE_RENAME_INFORMATION),
              information_class == FileLinkInformation ? 0u : static_cast<ACCESS_MASK>(DELETE)};
    case FileDispositionInformation:
      return {sizeof(FILE_DISPOSITION_INFORMATION), DELETE};
    case FileDispositionInformationEx:
      return {sizeof(ULONG), DELETE};
    case FilePositionInformation:
      return {sizeof(FILE_POSITION_INFORMATION), 0};
    case FileModeInformation:
      return {sizeof(FILE_MODE_INFORMATION), 0};
    case FileAllocationInformation:
      return {sizeof(FILE_ALLOCATION_INFORMATION), FILE_WRITE_DATA};
    case FileEndOfFileInformation:
      return {sizeof(FILE_END_OF_FILE_INFORMATION), FILE_WRITE_DATA};
    case FileValidDataLengthInformation:
      return {sizeof(LARGE_INTEGER), FILE_WRITE_DATA};
    default:
      return {0, 0};
  }
}

ULONG ModeOf(PFILE_OBJECT file) {
  ULONG mode = 0;
  if (file->Flags & FO_WRITE_THROUGH) mode |= FILE_WRITE_THROUGH;
  if (file->Flags & FO_SEQUENTIAL_ONLY) mode |= FILE_SEQUENTIAL_ONLY;
  if (file->Flags & FO_NO_INTERMEDIATE_BUFFERING) mode |= FILE_NO_INTERMEDIATE_BUFFERING;
  if (file->Flags & FO_SYNCHRONOUS_IO)
    mode |= (file->Flags & FO_ALERTABLE_IO) ? FILE_SYNCHRONOUS_IO_ALERT : FILE_SYNCHRONOUS_IO_NONALERT;
  return mode;
}

// What the I/O manager itself knows about an open file. False: the file system is asked.
bool AnswerQuery(io::FileService* service, FILE_INFORMATION_CLASS information_class, PVOID buffer,
                 ULONG_PTR* written) {
  switch (information_class) {
    case FileAccessInformation:
      static_cast<PFILE_ACCESS_INFORMATION>(buffer)->AccessFlags = service->granted;
      *written = sizeof(FILE_ACCESS_INFORMATION);
      return true;
    case FileModeInformation:
      static_cast<PFILE_MODE_INFORMATION>(buffer)->Mode = ModeOf(service->file);
      *written = sizeof(FILE_MODE_INFORMATION);
      return true;
    case FileAlignmentInformation:
      static_cast<PFILE_ALIGNMENT_INFORMATION>(buffer)->AlignmentRequirement =
          service->device->AlignmentRequirement;
      *written = sizeof(FILE_ALIGNMENT_INFORMATION);
      return true;
    case FilePositionInformation:
      if (!service->synchronous) return false;
      static_cast<PFILE_POSITION_INFORMATION>(buffer)->CurrentByteOffset = service->file->CurrentByteOffset;
      *written = sizeof(FILE_POSITION_INFORMATION);
      return true;
    default:
      return false;
  }
}

NTSTATUS AttachSystemBuffer(io::FileService* service, PVOID buffer, ULONG length, bool input) {
  PIRP irp = service->irp;
  irp->AssociatedIrp.SystemBuffer = ExAllocatePoolWithTag(NonPagedPoolNx, length, kBufferTag);
  if (irp->AssociatedIrp.SystemBuffer == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  irp->Flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER;
  if (input) {
    irp->Flags |= IRP_INPUT_OPERATION;
    irp->UserBuffer = buffer;
    RtlZeroMemory(irp->AssociatedIrp.SystemBuffer, length);
  } else {
    RtlCopyMemory(irp->AssociatedIrp.SystemBuffer, buffer, length);
  }
  return STATUS_SUCCESS;
}

// The parts of FileAllInformation that the I/O manager fills in before the file system does its own.
void SeedAllInformation(io::FileService* service, PVOID buffer) {
  auto* all = static_cast<PFILE_ALL_INFORMATION>(buffer);
  all->AccessInformation.AccessFlags = service->granted;
  all->ModeInformation.Mode = ModeOf(service->file);
  all->AlignmentInformation.AlignmentRequirement = service->device->AlignmentRequirement;
}

}  // namespace

/// Facts of an open file; see ZwQueryInformationFile.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: classes that no file system of ours has answer STATUS_INVALID_INFO_CLASS.
/// Source: WDK ntifs/NtQueryInformationFile.
NT_EXPORT(NtQueryInformationFile, nt::AtMost(PASSIVE_LEVEL), Partial, "KernelIo.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI
NtQueryInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PVOID FileInformation, ULONG Length,
                       FILE_INFORMATION_CLASS FileInformationClass) {
  const ClassRule rule = QueryRule(FileInformationClass);
  if (rule.minimum == 0) return STATUS_INVALID_INFO_CLASS;
  if (Length < rule.minimum) return STATUS_INFO_LENGTH_MISMATCH;
  io::FileService service;
  NTSTATUS status = io::BeginService(FileHandle, nullptr, &service);
  if (!NT_SUCCESS(status) || service.irp == nullptr) return status;
  if ((rule.access & service.granted) != rule.access && FileInformationClass != FilePositionInformation) {
    io::AbandonService(&service);
    return STATUS_ACCESS_DENIED;
  }
  ULONG_PTR written;
  if (AnswerQuery(&service, FileInformationClass, FileInformation, &written)) {
    io::AbandonService(&service);
    IoStatusBlock->Status = STATUS_SUCCESS;
    IoStatusBlock->Information = written;
    return STATUS_SUCCESS;
  }
  PIO_STACK_LOCATION stack =
      io::PrepareIrp(&service, IoStatusBlock, nullptr, nullptr, IRP_MJ_QUERY_INFORMATION);
  stack->Parameters.QueryFile.Length = Length;
  stack->Parameters.QueryFile.FileInformationClass = FileInformationClass;
  status = AttachSystemBuffer(&service, FileInformation, Length, true);
  if (!NT_SUCCESS(status)) {
    io::AbandonService(&service);
    return status;
  }
  if (FileInformationClass == FileAllInformation)
    SeedAllInformation(&service, service.irp->AssociatedIrp.SystemBuffer);
  return io::FinishService(&service, STATUS_SUCCESS);
}

/// Facts of an open file.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: classes that no file system of ours has answer STATUS_INVALID_INFO_CLASS.
/// Source: WDK wdm/ZwQueryInformationFile.
NT_EXPORT(ZwQueryInformationFile, nt::AtMost(PASSIVE_LEVEL), Partial, "KernelIo.*");
extern "C" NTSTATUS NTAPI ZwQueryInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock,
                                                 PVOID FileInformation, ULONG Length,
                                                 FILE_INFORMATION_CLASS FileInformationClass) {
  return ke::CallService(NtQueryInformationFile, FileHandle, IoStatusBlock, FileInformation, Length,
                         FileInformationClass);
}

namespace {

// Opens the directory that a rename or link goes to, as the file system's target (SL_OPEN_TARGET_DIRECTORY):
// full names, or names relative to RootDirectory. A bare name stays in the file's own directory and has no
// target.
NTSTATUS OpenRenameTarget(io::FileService* service, PFILE_RENAME_INFORMATION rename, PIO_STACK_LOCATION stack,
                          HANDLE* target) {
  *target = nullptr;
  if (rename->RootDirectory == nullptr && rename->FileName[0] != L'\\') return STATUS_SUCCESS;
  UNICODE_STRING name = {static_cast<USHORT>(rename->FileNameLength),
                         static_cast<USHORT>(rename->FileNameLength), rename->FileName};
  OBJECT_ATTRIBUTES attributes;
  const ULONG sensitivity = (service->file->Flags & FO_OPENED_CASE_SENSITIVE) ? 0 : OBJ_CASE_INSENSITIVE;
  InitializeObjectAttributes(&attributes, &name, sensitivity | OBJ_KERNEL_HANDLE, rename->RootDirectory,
                             nullptr);
  IO_STATUS_BLOCK iosb;
  NTSTATUS status = IopCreateFile(target, FILE_WRITE_DATA | SYNCHRONIZE, &attributes, &iosb, nullptr, 0,
                                  FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_OPEN, FILE_OPEN_FOR_BACKUP_INTENT,
                                  nullptr, 0, CreateFileTypeNone, nullptr,
                                  IO_NO_PARAMETER_CHECKING | IO_OPEN_TARGET_DIRECTORY, nullptr);
  if (!NT_SUCCESS(status)) return status;
  PVOID object;
  status = ob::ReferenceHandle(*target, IoFileObjectType, &object, nullptr);
  if (NT_SUCCESS(status)) {
    auto* file = static_cast<PFILE_OBJECT>(object);
    if (IoGetRelatedDeviceObject(file) != service->device) status = STATUS_NOT_SAME_DEVICE;
    stack->Parameters.SetFile.FileObject = file;
    ObfDereferenceObject(file);  // the handle keeps it until the request is done
  }
  if (!NT_SUCCESS(status)) {
    ZwClose(*target);
    *target = nullptr;
  }
  return status;
}

bool IsRename(FILE_INFORMATION_CLASS information_class) {
  return information_class == FileRenameInformation || information_class == FileRenameInformationEx ||
         information_class == FileLinkInformation;
}

NTSTATUS CheckRename(const void* information, ULONG length) {
  auto* rename = static_cast<const FILE_RENAME_INFORMATION*>(information);
  if (rename->FileNameLength == 0 || rename->FileNameLength % sizeof(WCHAR) != 0 ||
      rename->FileNameLength > 0xFFFE ||
      rename->FileNameLength > length - FIELD_OFFSET(FILE_RENAME_INFORMATION, FileName)) {
    return STATUS_INVALID_PARAMETER;
  }
  return STATUS_SUCCESS;
}

// The classes that are the I/O manager's own. False: the file system is told.
bool ApplySet(io::FileService* service, FILE_INFORMATION_CLASS information_class, PVOID information,
              NTSTATUS* status) {
  if (information_class == FilePositionInformation && service->synchronous) {
    const LONGLONG offset = static_cast<PFILE_POSITION_INFORMATION>(information)->CurrentByteOffset.QuadPart;
    *status = offset < 0 ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
    if (NT_SUCCESS(*status)) service->file->CurrentByteOffset.QuadPart = offset;
    return true;
  }
  if (information_class == FileModeInformation) {
    const ULONG mode = static_cast<PFILE_MODE_INFORMATION>(information)->Mode;
    constexpr ULONG kSettable =
        FILE_WRITE_THROUGH | FILE_SEQUENTIAL_ONLY | FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT;
    *status = (mode & ~kSettable) ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
    if (!NT_SUCCESS(*status)) return true;
    service->file->Flags &= ~(FO_WRITE_THROUGH | FO_SEQUENTIAL_ONLY);
    if (mode & FILE_WRITE_THROUGH) service->file->Flags |= FO_WRITE_THROUGH;
    if (mode & FILE_SEQUENTIAL_ONLY) service->file->Flags |= FO_SEQUENTIAL_ONLY;
    return true;
  }
  return false;
}

NTSTATUS SendSet(io::FileService* service, PIO_STATUS_BLOCK iosb, PVOID information, ULONG length,
                 FILE_INFORMATION_CLASS information_class) {
  PIO_STACK_LOCATION stack = io::PrepareIrp(service, iosb, nullptr, nullptr, IRP_MJ_SET_INFORMATION);
  stack->Parameters.SetFile.Length = length;
  stack->Parameters.SetFile.FileInformationClass = information_class;
  NTSTATUS status = AttachSystemBuffer(service, information, length, false);
  HANDLE target = nullptr;
  if (NT_SUCCESS(status) && IsRename(information_class)) {
    auto* rename = static_cast<PFILE_RENAME_INFORMATION>(service->irp->AssociatedIrp.SystemBuffer);
    stack->Parameters.SetFile.ReplaceIfExists = rename->ReplaceIfExists & 1;
    status = OpenRenameTarget(service, rename, stack, &target);
  }
  status = io::FinishService(service, status);
  if (target != nullptr) ZwClose(target);
  return status;
}

}  // namespace

/// Changes facts of an open file; see ZwSetInformationFile.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: as ZwSetInformationFile.
/// Source: WDK ntifs/NtSetInformationFile.
NT_EXPORT(NtSetInformationFile, nt::AtMost(PASSIVE_LEVEL), Partial, "KernelIo.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI
NtSetInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PVOID FileInformation, ULONG Length,
                     FILE_INFORMATION_CLASS FileInformationClass) {
  const ClassRule rule = SetRule(FileInformationClass);
  if (rule.minimum == 0) return STATUS_INVALID_INFO_CLASS;
  if (Length < rule.minimum) return STATUS_INFO_LENGTH_MISMATCH;
  if (IsRename(FileInformationClass)) {
    NTSTATUS status = CheckRename(FileInformation, Length);
    if (!NT_SUCCESS(status)) return status;
  }
  io::FileService service;
  NTSTATUS status = io::BeginService(FileHandle, nullptr, &service);
  if (!NT_SUCCESS(status) || service.irp == nullptr) return status;
  if ((rule.access & service.granted) != rule.access) {
    io::AbandonService(&service);
    return STATUS_ACCESS_DENIED;
  }
  if (ApplySet(&service, FileInformationClass, FileInformation, &status)) {
    io::AbandonService(&service);
    if (NT_SUCCESS(status)) {
      IoStatusBlock->Status = status;
      IoStatusBlock->Information = 0;
    }
    return status;
  }
  return SendSet(&service, IoStatusBlock, FileInformation, Length, FileInformationClass);
}

/// Changes facts of an open file: times and attributes, position, sizes, name (rename, with ReplaceIfExists
/// and RootDirectory), deletion.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: classes that no file system of ours has answer STATUS_INVALID_INFO_CLASS.
/// Source: WDK wdm/ZwSetInformationFile.
NT_EXPORT(ZwSetInformationFile, nt::AtMost(PASSIVE_LEVEL), Partial, "KernelIo.*");
extern "C" NTSTATUS NTAPI ZwSetInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock,
                                               PVOID FileInformation, ULONG Length,
                                               FILE_INFORMATION_CLASS FileInformationClass) {
  return ke::CallService(NtSetInformationFile, FileHandle, IoStatusBlock, FileInformation, Length,
                         FileInformationClass);
}

/// Facts of the volume of an open file; see ZwQueryVolumeInformationFile.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/NtQueryVolumeInformationFile.
NT_EXPORT(NtQueryVolumeInformationFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI
NtQueryVolumeInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PVOID FsInformation,
                             ULONG Length, FS_INFORMATION_CLASS FsInformationClass) {
  io::FileService service;
  NTSTATUS status = io::BeginService(FileHandle, nullptr, &service);
  if (!NT_SUCCESS(status) || service.irp == nullptr) return status;
  if (FsInformationClass == FileFsDeviceInformation) {
    if (Length < sizeof(FILE_FS_DEVICE_INFORMATION)) {
      status = STATUS_INFO_LENGTH_MISMATCH;
    } else {
      auto* information = static_cast<PFILE_FS_DEVICE_INFORMATION>(FsInformation);
      const DEVICE_TYPE type = service.file->DeviceObject->DeviceType;
      information->DeviceType = type == FILE_DEVICE_DISK_FILE_SYSTEM ? FILE_DEVICE_DISK : type;
      information->Characteristics = service.file->DeviceObject->Characteristics;
      IoStatusBlock->Status = STATUS_SUCCESS;
      IoStatusBlock->Information = sizeof(FILE_FS_DEVICE_INFORMATION);
    }
    io::AbandonService(&service);
    return status;
  }
  PIO_STACK_LOCATION stack =
      io::PrepareIrp(&service, IoStatusBlock, nullptr, nullptr, IRP_MJ_QUERY_VOLUME_INFORMATION);
  stack->Parameters.QueryVolume.Length = Length;
  stack->Parameters.QueryVolume.FsInformationClass = FsInformationClass;
  status = AttachSystemBuffer(&service, FsInformation, Length, true);
  return io::FinishService(&service, status);
}

/// Facts of the volume of an open file.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ZwQueryVolumeInformationFile.
NT_EXPORT(ZwQueryVolumeInformationFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.*");
extern "C" NTSTATUS NTAPI ZwQueryVolumeInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock,
                                                       PVOID FsInformation, ULONG Length,
                                                       FS_INFORMATION_CLASS FsInformationClass) {
  return ke::CallService(NtQueryVolumeInformationFile, FileHandle, IoStatusBlock, FsInformation, Length,
                         FsInformationClass);
}
