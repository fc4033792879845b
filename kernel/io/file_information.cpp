// Querying and setting facts of files.
#include "information_classes.h"
#include "io_internal.h"
#include "ke/service_call.h"
#include "nt/export.h"
#include "user_mode.h"

namespace {

constexpr ULONG kSkipFlags = FO_SKIP_COMPLETION_PORT | FO_SKIP_SET_EVENT | FO_SKIP_SET_FAST_IO;
constexpr ULONG kSkipShift = 25;  // from FILE_SKIP_... to FO_SKIP_...
static_assert(FO_SKIP_COMPLETION_PORT == FILE_SKIP_COMPLETION_PORT_ON_SUCCESS << kSkipShift);
static_assert(FO_SKIP_SET_EVENT == FILE_SKIP_SET_EVENT_ON_HANDLE << kSkipShift);

ULONG ModeOf(PFILE_OBJECT file) {
  ULONG mode = 0;
  if (file->Flags & FO_WRITE_THROUGH) mode |= FILE_WRITE_THROUGH;
  if (file->Flags & FO_SEQUENTIAL_ONLY) mode |= FILE_SEQUENTIAL_ONLY;
  if (file->Flags & FO_NO_INTERMEDIATE_BUFFERING) mode |= FILE_NO_INTERMEDIATE_BUFFERING;
  if (file->Flags & FO_DELETE_ON_CLOSE) mode |= FILE_DELETE_ON_CLOSE;
  if (file->Flags & FO_SYNCHRONOUS_IO)
    mode |= (file->Flags & FO_ALERTABLE_IO) ? FILE_SYNCHRONOUS_IO_ALERT : FILE_SYNCHRONOUS_IO_NONALERT;
  return mode;
}

IO_PRIORITY_HINT PriorityHintOf(PFILE_OBJECT file) {
  const auto* extension = static_cast<const io::FileExtension*>(file->FileObjectExtension);
  return extension != nullptr && extension->priority_hint != 0
             ? static_cast<IO_PRIORITY_HINT>(extension->priority_hint - 1)
             : IoPriorityNormal;
}

union OwnAnswer {
  FILE_ACCESS_INFORMATION access;
  FILE_MODE_INFORMATION mode;
  FILE_ALIGNMENT_INFORMATION alignment;
  FILE_POSITION_INFORMATION position;
  FILE_IO_COMPLETION_NOTIFICATION_INFORMATION completion;
  FILE_IO_PRIORITY_HINT_INFORMATION priority;
  FILE_IS_REMOTE_DEVICE_INFORMATION remote;
};

// What the I/O manager itself knows about an open file: its size; 0: the file system is asked.
ULONG AnswerQuery(const io::FileService* service, FILE_INFORMATION_CLASS information_class,
                  OwnAnswer* answer) {
  PFILE_OBJECT file = service->file;
  *answer = {};
  switch (information_class) {
    case FileAccessInformation:
      answer->access.AccessFlags = service->granted;
      return sizeof(answer->access);
    case FileModeInformation:
      answer->mode.Mode = ModeOf(file);
      return sizeof(answer->mode);
    case FileAlignmentInformation:
      answer->alignment.AlignmentRequirement = service->device->AlignmentRequirement;
      return sizeof(answer->alignment);
    case FilePositionInformation:
      answer->position.CurrentByteOffset = file->CurrentByteOffset;
      return service->synchronous ? sizeof(answer->position) : 0;
    case FileIoCompletionNotificationInformation:
      answer->completion.Flags = (file->Flags & kSkipFlags) >> kSkipShift;
      return sizeof(answer->completion);
    case FileIoPriorityHintInformation:
      answer->priority.PriorityHint = PriorityHintOf(file);
      return sizeof(answer->priority);
    case FileIsRemoteDeviceInformation:
      answer->remote.IsRemote = (file->DeviceObject->Characteristics & FILE_REMOTE_DEVICE) != 0;
      return sizeof(answer->remote);
    default:
      return 0;
  }
}

// The name of the volume's device, as far as it fits.
NTSTATUS AnswerVolumeName(io::FileService* service, PIO_STATUS_BLOCK iosb, PVOID buffer, ULONG length) {
  constexpr ULONG kFixed = FIELD_OFFSET(FILE_VOLUME_NAME_INFORMATION, DeviceName);
  ULONG needed = 0;
  ObQueryNameString(service->file->DeviceObject, nullptr, 0, &needed);
  auto* name = static_cast<POBJECT_NAME_INFORMATION>(ExAllocatePoolWithTag(PagedPool, needed, kNameTag));
  if (name == nullptr) return io::AbandonService(service, STATUS_INSUFFICIENT_RESOURCES);
  NTSTATUS status = ObQueryNameString(service->file->DeviceObject, name, needed, &needed);
  ULONG fits = 0;
  if (NT_SUCCESS(status)) {
    const ULONG bytes = name->Name.Length;
    fits = bytes <= length - kFixed ? bytes : length - kFixed;
    status = io::CopyToCaller(buffer, &bytes, sizeof(bytes));
    if (NT_SUCCESS(status))
      status = io::CopyToCaller(static_cast<PUCHAR>(buffer) + kFixed, name->Name.Buffer, fits);
    if (NT_SUCCESS(status) && fits < bytes) status = STATUS_BUFFER_OVERFLOW;
  }
  ExFreePoolWithTag(name, kNameTag);
  if (NT_ERROR(status)) return io::AbandonService(service, status);
  return io::FinishWithoutIrp(service, iosb, {{status}, kFixed + fits});
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
/// Differs from NT: none.
/// Source: WDK ntifs/NtQueryInformationFile.
NT_EXPORT(NtQueryInformationFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.* IoInformation.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI
NtQueryInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PVOID FileInformation, ULONG Length,
                       FILE_INFORMATION_CLASS FileInformationClass) {
  const io::ClassRule rule = io::FileQueryRule(FileInformationClass);
  NTSTATUS status = io::CheckQuery(rule, IoStatusBlock, FileInformation, Length);
  if (!NT_SUCCESS(status)) return status;
  io::FileService service;
  status = io::BeginService(rule, FileHandle, &service);
  if (status != STATUS_SUCCESS) return status;
  OwnAnswer answer;
  if (const ULONG size = AnswerQuery(&service, FileInformationClass, &answer); size != 0) {
    status = io::CopyToCaller(FileInformation, &answer, size);
    if (!NT_SUCCESS(status)) return io::AbandonService(&service, status);
    return io::FinishWithoutIrp(&service, IoStatusBlock, {{STATUS_SUCCESS}, size});
  }
  if (FileInformationClass == FileVolumeNameInformation)
    return AnswerVolumeName(&service, IoStatusBlock, FileInformation, Length);
  PIO_STACK_LOCATION stack =
      io::PrepareIrp(&service, IoStatusBlock, nullptr, nullptr, IRP_MJ_QUERY_INFORMATION);
  if (stack == nullptr) return io::AbandonService(&service, STATUS_INSUFFICIENT_RESOURCES);
  stack->Parameters.QueryFile.Length = Length;
  stack->Parameters.QueryFile.FileInformationClass = FileInformationClass;
  status = io::AttachOutput(&service, FileInformation, Length);
  if (NT_SUCCESS(status) && FileInformationClass == FileAllInformation)
    SeedAllInformation(&service, service.irp->AssociatedIrp.SystemBuffer);
  return io::FinishService(&service, status);
}

/// Facts of an open file. The I/O manager answers for access, mode, alignment, position (of synchronous
/// files), completion notification, priority hint, remoteness and the volume's name; the file system for the
/// others.
/// Returns: STATUS_INVALID_INFO_CLASS for classes that cannot be queried so, and for those that the file
/// system does not have; STATUS_INFO_LENGTH_MISMATCH; STATUS_ACCESS_DENIED; STATUS_BUFFER_OVERFLOW for cut
/// names; STATUS_ACCESS_VIOLATION and STATUS_DATATYPE_MISALIGNMENT for a program's bad pointers.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none. C: is a volume without short names, object identifiers, quotas, reparse points and
/// extended attributes.
/// Source: WDK wdm/ZwQueryInformationFile.
NT_EXPORT(ZwQueryInformationFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.* IoInformation.*");
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

bool HasTarget(FILE_INFORMATION_CLASS information_class) {
  return information_class == FileRenameInformation || information_class == FileRenameInformationEx ||
         information_class == FileLinkInformation || information_class == FileLinkInformationEx;
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

NTSTATUS SetPosition(io::FileService* service, LONGLONG offset) {
  const ULONG sector = service->device->SectorSize;
  const bool unaligned = (service->file->Flags & FO_NO_INTERMEDIATE_BUFFERING) && sector != 0 &&
                         static_cast<ULONG64>(offset) % sector != 0;
  if (offset < 0 || unaligned) return STATUS_INVALID_PARAMETER;
  service->file->CurrentByteOffset.QuadPart = offset;
  return STATUS_SUCCESS;
}

// A file stays synchronous or not as it was opened; which kind of synchronous may change.
NTSTATUS SetMode(PFILE_OBJECT file, ULONG mode) {
  constexpr ULONG kSynchronous = FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT;
  constexpr ULONG kSettable = FILE_WRITE_THROUGH | FILE_SEQUENTIAL_ONLY | kSynchronous;
  const bool synchronous = (file->Flags & FO_SYNCHRONOUS_IO) != 0;
  if ((mode & ~kSettable) || (mode & kSynchronous) == kSynchronous ||
      ((mode & kSynchronous) != 0) != synchronous)
    return STATUS_INVALID_PARAMETER;
  ULONG flags = file->Flags & ~(FO_WRITE_THROUGH | FO_SEQUENTIAL_ONLY | FO_ALERTABLE_IO);
  if (mode & FILE_WRITE_THROUGH) flags |= FO_WRITE_THROUGH;
  if (mode & FILE_SEQUENTIAL_ONLY) flags |= FO_SEQUENTIAL_ONLY;
  if (mode & FILE_SYNCHRONOUS_IO_ALERT) flags |= FO_ALERTABLE_IO;
  file->Flags = flags;
  return STATUS_SUCCESS;
}

NTSTATUS SetPriorityHint(PFILE_OBJECT file, IO_PRIORITY_HINT hint) {
  if (static_cast<ULONG>(hint) >= MaxIoPriorityTypes) return STATUS_INVALID_PARAMETER;
  if (file->FileObjectExtension == nullptr) {
    PVOID made = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(io::FileExtension), kFileTag);
    if (made == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
    RtlZeroMemory(made, sizeof(io::FileExtension));
    if (InterlockedCompareExchangePointer(&file->FileObjectExtension, made, nullptr) != nullptr)
      ExFreePoolWithTag(made, kFileTag);
  }
  static_cast<io::FileExtension*>(file->FileObjectExtension)->priority_hint = hint + 1;
  return STATUS_SUCCESS;
}

// Once set, the flags stay: requests may be under way that count on them.
NTSTATUS SetCompletionNotification(PFILE_OBJECT file, ULONG flags) {
  if (flags & ~(kSkipFlags >> kSkipShift)) return STATUS_INVALID_PARAMETER;
  InterlockedOr(reinterpret_cast<volatile LONG*>(&file->Flags), static_cast<LONG>(flags << kSkipShift));
  return STATUS_SUCCESS;
}

// No object here is a completion port: any handle is of another type, or none.
NTSTATUS RefusePort(HANDLE port) {
  PVOID object;
  const auto mode = static_cast<KPROCESSOR_MODE>(KeGetCurrentThread()->PreviousMode);
  const NTSTATUS status = ob::ReferenceHandle(port, nullptr, &object, nullptr, mode);
  if (!NT_SUCCESS(status)) return status;
  ObfDereferenceObject(object);
  return STATUS_OBJECT_TYPE_MISMATCH;
}

// The classes that are the I/O manager's own. False: the file system is told.
bool ApplySet(io::FileService* service, FILE_INFORMATION_CLASS information_class, PVOID information,
              NTSTATUS* status) {
  PFILE_OBJECT file = service->file;
  switch (information_class) {
    case FilePositionInformation:
      if (!service->synchronous) return false;
      *status = SetPosition(service,
                            static_cast<PFILE_POSITION_INFORMATION>(information)->CurrentByteOffset.QuadPart);
      return true;
    case FileModeInformation:
      *status = SetMode(file, static_cast<PFILE_MODE_INFORMATION>(information)->Mode);
      return true;
    case FileIoPriorityHintInformation:
      *status =
          SetPriorityHint(file, static_cast<PFILE_IO_PRIORITY_HINT_INFORMATION>(information)->PriorityHint);
      return true;
    case FileIoCompletionNotificationInformation:
      *status = SetCompletionNotification(
          file, static_cast<PFILE_IO_COMPLETION_NOTIFICATION_INFORMATION>(information)->Flags);
      return true;
    case FileCompletionInformation:
      *status = RefusePort(static_cast<PFILE_COMPLETION_INFORMATION>(information)->Port);
      return true;
    default:
      return false;
  }
}

NTSTATUS SendSet(io::FileService* service, PIO_STATUS_BLOCK iosb, PVOID captured, ULONG length,
                 FILE_INFORMATION_CLASS information_class) {
  PIO_STACK_LOCATION stack = io::PrepareIrp(service, iosb, nullptr, nullptr, IRP_MJ_SET_INFORMATION);
  if (stack == nullptr) {
    ExFreePoolWithTag(captured, kBufferTag);
    return io::AbandonService(service, STATUS_INSUFFICIENT_RESOURCES);
  }
  stack->Parameters.SetFile.Length = length;
  stack->Parameters.SetFile.FileInformationClass = information_class;
  io::AttachInput(service, captured);
  NTSTATUS status = STATUS_SUCCESS;
  HANDLE target = nullptr;
  if (HasTarget(information_class)) {
    auto* rename = static_cast<PFILE_RENAME_INFORMATION>(captured);
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
NT_EXPORT(NtSetInformationFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.* IoInformation.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI
NtSetInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock, PVOID FileInformation, ULONG Length,
                     FILE_INFORMATION_CLASS FileInformationClass) {
  const io::ClassRule rule = io::FileSetRule(FileInformationClass);
  io::CapturedBuffer captured;
  NTSTATUS status = io::CheckSet(rule, IoStatusBlock, FileInformation, Length, &captured);
  if (NT_SUCCESS(status) && HasTarget(FileInformationClass)) status = CheckRename(captured.get(), Length);
  if (!NT_SUCCESS(status)) return status;
  io::FileService service;
  status = io::BeginService(rule, FileHandle, &service);
  if (status != STATUS_SUCCESS) return status;
  if (ApplySet(&service, FileInformationClass, captured.get(), &status)) {
    if (!NT_SUCCESS(status)) return io::AbandonService(&service, status);
    return io::FinishWithoutIrp(&service, IoStatusBlock, {{status}, 0});
  }
  return SendSet(&service, IoStatusBlock, captured.Take(), Length, FileInformationClass);
}

/// Changes facts of an open file: times and attributes, position, mode, sizes, name (rename and hard link,
/// with ReplaceIfExists and RootDirectory), deletion, priority hint, completion notification.
/// Returns: as ZwQueryInformationFile; STATUS_INVALID_PARAMETER for values that make no sense.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: there are no completion ports: FileCompletionInformation fails with
/// STATUS_OBJECT_TYPE_MISMATCH for any handle.
/// Source: WDK wdm/ZwSetInformationFile.
NT_EXPORT(ZwSetInformationFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.* IoInformation.*");
extern "C" NTSTATUS NTAPI ZwSetInformationFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock,
                                               PVOID FileInformation, ULONG Length,
                                               FILE_INFORMATION_CLASS FileInformationClass) {
  return ke::CallService(NtSetInformationFile, FileHandle, IoStatusBlock, FileInformation, Length,
                         FileInformationClass);
}
