// IRP_MJ_QUERY_INFORMATION and IRP_MJ_SET_INFORMATION.
#include "names.h"
#include "volume.h"

#pragma code_seg("PAGE")

namespace hostfs {
namespace {

constexpr LONGLONG kUnixEpoch = 116444736000000000;  // 1970 in 100 ns since 1601
constexpr ULONG kOwnerWrite = 0200;

void FillBasic(const Fcb* fcb, FILE_BASIC_INFORMATION* out) {
  out->CreationTime = TimeOf(fcb->attributes.modification);  // the host keeps no time of creation
  out->LastAccessTime = TimeOf(fcb->attributes.access);
  out->LastWriteTime = TimeOf(fcb->attributes.modification);
  out->ChangeTime = TimeOf(fcb->attributes.change);
  out->FileAttributes = FileAttributesOf(fcb);
}

void FillStandard(const Fcb* fcb, FILE_STANDARD_INFORMATION* out) {
  out->AllocationSize.QuadPart = static_cast<LONGLONG>(AllocationOf(fcb));
  out->EndOfFile.QuadPart = fcb->is_directory ? 0 : static_cast<LONGLONG>(fcb->attributes.size);
  out->NumberOfLinks = static_cast<ULONG>(fcb->is_directory ? 1 : fcb->attributes.links);
  out->DeletePending = fcb->delete_pending;
  out->Directory = fcb->is_directory;
}

void FillNetworkOpen(const Fcb* fcb, FILE_NETWORK_OPEN_INFORMATION* out) {
  FILE_BASIC_INFORMATION basic;
  FillBasic(fcb, &basic);
  out->CreationTime = basic.CreationTime;
  out->LastAccessTime = basic.LastAccessTime;
  out->LastWriteTime = basic.LastWriteTime;
  out->ChangeTime = basic.ChangeTime;
  out->AllocationSize.QuadPart = static_cast<LONGLONG>(AllocationOf(fcb));
  out->EndOfFile.QuadPart = fcb->is_directory ? 0 : static_cast<LONGLONG>(fcb->attributes.size);
  out->FileAttributes = basic.FileAttributes;
}

// The path from the root, as far as it fits; *used is what was written after the length field.
NTSTATUS FillName(const Fcb* fcb, FILE_NAME_INFORMATION* out, ULONG room, ULONG* used) {
  ULONG units = fcb->parent == nullptr ? 1 : 0;
  for (const Fcb* up = fcb; up->parent != nullptr; up = up->parent) units += up->units + 1u;
  out->FileNameLength = units * sizeof(WCHAR);
  ULONG end = units;
  const ULONG fits = room / sizeof(WCHAR);
  for (const Fcb* up = fcb; up->parent != nullptr; up = up->parent) {
    for (USHORT i = up->units; i > 0; --i) {
      if (--end < fits) out->FileName[end] = up->name[i - 1];
    }
    if (--end < fits) out->FileName[end] = '\\';
  }
  if (fcb->parent == nullptr && fits != 0) out->FileName[0] = '\\';
  *used = (units < fits ? units : fits) * sizeof(WCHAR);
  return units > fits ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
}

NTSTATUS FillAll(PFILE_OBJECT file, const Fcb* fcb, FILE_ALL_INFORMATION* all, ULONG length, ULONG* used) {
  constexpr ULONG kFixed = FIELD_OFFSET(FILE_ALL_INFORMATION, NameInformation.FileName);
  if (length < kFixed) return STATUS_INFO_LENGTH_MISMATCH;
  // Access, mode and alignment are the I/O manager's, and there already.
  FillBasic(fcb, &all->BasicInformation);
  FillStandard(fcb, &all->StandardInformation);
  all->EaInformation.EaSize = 0;
  all->InternalInformation.IndexNumber.QuadPart = static_cast<LONGLONG>(fcb->attributes.qid.path);
  all->PositionInformation.CurrentByteOffset = file->CurrentByteOffset;
  ULONG name = 0;
  const NTSTATUS status = FillName(fcb, &all->NameInformation, length - kFixed, &name);
  *used = kFixed + name;
  return status;
}

// The unnamed stream is all that a file has; a directory has none.
NTSTATUS FillStreams(const Fcb* fcb, FILE_STREAM_INFORMATION* out, ULONG length, ULONG* used) {
  constexpr WCHAR kName[] = L"::$DATA";
  constexpr ULONG kNameBytes = sizeof(kName) - sizeof(WCHAR);
  constexpr ULONG kFixed = FIELD_OFFSET(FILE_STREAM_INFORMATION, StreamName);
  if (fcb->is_directory) return STATUS_SUCCESS;
  if (length < kFixed + kNameBytes) return STATUS_BUFFER_OVERFLOW;
  out->NextEntryOffset = 0;
  out->StreamNameLength = kNameBytes;
  out->StreamSize.QuadPart = static_cast<LONGLONG>(fcb->attributes.size);
  out->StreamAllocationSize.QuadPart = static_cast<LONGLONG>(AllocationOf(fcb));
  RtlCopyMemory(out->StreamName, kName, kNameBytes);
  *used = kFixed + kNameBytes;
  return STATUS_SUCCESS;
}

// The classes that came after Windows 2000, but for names.
NTSTATUS QueryNewer(Volume& volume, const Fcb* fcb, FILE_INFORMATION_CLASS kind, PVOID buffer, ULONG length,
                    ULONG* used) {
  const auto id = static_cast<LONGLONG>(fcb->attributes.qid.path);
  switch (kind) {
    case FileStreamInformation:
      return FillStreams(fcb, static_cast<FILE_STREAM_INFORMATION*>(buffer), length, used);
    case FileCompressionInformation: {
      FILE_COMPRESSION_INFORMATION info = {};
      info.CompressedFileSize.QuadPart = fcb->is_directory ? 0 : static_cast<LONGLONG>(fcb->attributes.size);
      return PutInformation(info, buffer, length, used);
    }
    case FileStandardLinkInformation: {
      FILE_STANDARD_LINK_INFORMATION info = {};
      info.NumberOfAccessibleLinks = info.TotalNumberOfLinks =
          static_cast<ULONG>(fcb->is_directory ? 1 : fcb->attributes.links);
      info.DeletePending = fcb->delete_pending;
      info.Directory = fcb->is_directory;
      return PutInformation(info, buffer, length, used);
    }
    case FileIdInformation: {
      FILE_ID_INFORMATION info = {};
      p9::Statistics statistics = {};
      const NTSTATUS status = volume.client().GetStatistics(&statistics);
      if (!NT_SUCCESS(status)) return status;
      info.VolumeSerialNumber = statistics.id;
      RtlCopyMemory(&info.FileId, &id, sizeof(id));
      return PutInformation(info, buffer, length, used);
    }
    case FileStatInformation: {
      FILE_STAT_INFORMATION info = {};
      FILE_NETWORK_OPEN_INFORMATION open = {};
      FillNetworkOpen(fcb, &open);
      info.FileId.QuadPart = id;
      info.CreationTime = open.CreationTime;
      info.LastAccessTime = open.LastAccessTime;
      info.LastWriteTime = open.LastWriteTime;
      info.ChangeTime = open.ChangeTime;
      info.AllocationSize = open.AllocationSize;
      info.EndOfFile = open.EndOfFile;
      info.FileAttributes = open.FileAttributes;
      info.NumberOfLinks = static_cast<ULONG>(fcb->is_directory ? 1 : fcb->attributes.links);
      info.EffectiveAccess = FILE_ALL_ACCESS;  // files have no security descriptors
      return PutInformation(info, buffer, length, used);
    }
    case FileCaseSensitiveInformation:
      if (!fcb->is_directory) return STATUS_NOT_A_DIRECTORY;
      return PutInformation(FILE_CASE_SENSITIVE_INFORMATION{0}, buffer, length, used);
    case FileAlternateNameInformation:
      return STATUS_OBJECT_NAME_NOT_FOUND;  // no short names
    default:
      return STATUS_INVALID_INFO_CLASS;
  }
}

NTSTATUS QueryLocked(Volume& volume, PFILE_OBJECT file, Fcb* fcb, FILE_INFORMATION_CLASS kind, PVOID buffer,
                     ULONG length, ULONG* used) {
  const NTSTATUS status = volume.LoadAttributes(fcb);
  if (!NT_SUCCESS(status)) return status;
  switch (kind) {
    case FileBasicInformation:
      if (length < sizeof(FILE_BASIC_INFORMATION)) return STATUS_INFO_LENGTH_MISMATCH;
      FillBasic(fcb, static_cast<FILE_BASIC_INFORMATION*>(buffer));
      *used = sizeof(FILE_BASIC_INFORMATION);
      return STATUS_SUCCESS;
    case FileStandardInformation:
      if (length < sizeof(FILE_STANDARD_INFORMATION)) return STATUS_INFO_LENGTH_MISMATCH;
      FillStandard(fcb, static_cast<FILE_STANDARD_INFORMATION*>(buffer));
      *used = sizeof(FILE_STANDARD_INFORMATION);
      return STATUS_SUCCESS;
    case FileInternalInformation:
      if (length < sizeof(FILE_INTERNAL_INFORMATION)) return STATUS_INFO_LENGTH_MISMATCH;
      static_cast<FILE_INTERNAL_INFORMATION*>(buffer)->IndexNumber.QuadPart =
          static_cast<LONGLONG>(fcb->attributes.qid.path);
      *used = sizeof(FILE_INTERNAL_INFORMATION);
      return STATUS_SUCCESS;
    case FileEaInformation:
      if (length < sizeof(FILE_EA_INFORMATION)) return STATUS_INFO_LENGTH_MISMATCH;
      static_cast<FILE_EA_INFORMATION*>(buffer)->EaSize = 0;
      *used = sizeof(FILE_EA_INFORMATION);
      return STATUS_SUCCESS;
    case FilePositionInformation:
      if (length < sizeof(FILE_POSITION_INFORMATION)) return STATUS_INFO_LENGTH_MISMATCH;
      static_cast<FILE_POSITION_INFORMATION*>(buffer)->CurrentByteOffset = file->CurrentByteOffset;
      *used = sizeof(FILE_POSITION_INFORMATION);
      return STATUS_SUCCESS;
    case FileNetworkOpenInformation:
      if (length < sizeof(FILE_NETWORK_OPEN_INFORMATION)) return STATUS_INFO_LENGTH_MISMATCH;
      FillNetworkOpen(fcb, static_cast<FILE_NETWORK_OPEN_INFORMATION*>(buffer));
      *used = sizeof(FILE_NETWORK_OPEN_INFORMATION);
      return STATUS_SUCCESS;
    case FileAttributeTagInformation:
      if (length < sizeof(FILE_ATTRIBUTE_TAG_INFORMATION)) return STATUS_INFO_LENGTH_MISMATCH;
      *static_cast<FILE_ATTRIBUTE_TAG_INFORMATION*>(buffer) = {FileAttributesOf(fcb), 0};
      *used = sizeof(FILE_ATTRIBUTE_TAG_INFORMATION);
      return STATUS_SUCCESS;
    case FileNameInformation:
    case FileNormalizedNameInformation: {
      constexpr ULONG kFixed = FIELD_OFFSET(FILE_NAME_INFORMATION, FileName);
      if (length < kFixed) return STATUS_INFO_LENGTH_MISMATCH;
      ULONG name = 0;
      const NTSTATUS filled =
          FillName(fcb, static_cast<FILE_NAME_INFORMATION*>(buffer), length - kFixed, &name);
      *used = kFixed + name;
      return filled;
    }
    case FileAllInformation:
      return FillAll(file, fcb, static_cast<FILE_ALL_INFORMATION*>(buffer), length, used);
    default:
      return QueryNewer(volume, fcb, kind, buffer, length, used);
  }
}

NTSTATUS SetBasic(Volume& volume, Fcb* fcb, const FILE_BASIC_INFORMATION& basic) {
  NTSTATUS status = volume.FlushGathered(fcb);
  if (NT_SUCCESS(status)) status = volume.LoadAttributes(fcb);
  if (!NT_SUCCESS(status)) return status;
  const bool wants_directory = (basic.FileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
  if (wants_directory && !fcb->is_directory) return STATUS_INVALID_PARAMETER;
  p9::SetAttributes set = {};
  if (basic.FileAttributes != 0 && !fcb->is_directory) {
    const bool read_only = (basic.FileAttributes & FILE_ATTRIBUTE_READONLY) != 0;
    set.mode = read_only ? fcb->attributes.mode & ~0222u : fcb->attributes.mode | kOwnerWrite;
    if (set.mode != fcb->attributes.mode) set.valid |= p9::kSetMode;
    set.mode &= 07777;
  }
  if (basic.LastAccessTime.QuadPart > 0) {
    set.valid |= p9::kSetAtime | p9::kSetAtimeValue;
    set.access = TimeFrom(basic.LastAccessTime);
  }
  if (basic.LastWriteTime.QuadPart > 0) {
    set.valid |= p9::kSetMtime | p9::kSetMtimeValue;
    set.modification = TimeFrom(basic.LastWriteTime);
  }
  if (set.valid == 0) return STATUS_SUCCESS;
  fcb->attributes_valid = false;
  status = volume.client().SetAttributes(fcb->fid, set);
  if (!NT_SUCCESS(status)) return status;
  const ULONG changed = ((set.valid & p9::kSetMode) ? FILE_NOTIFY_CHANGE_ATTRIBUTES : 0) |
                        ((set.valid & p9::kSetAtime) ? FILE_NOTIFY_CHANGE_LAST_ACCESS : 0) |
                        ((set.valid & p9::kSetMtime) ? FILE_NOTIFY_CHANGE_LAST_WRITE : 0);
  volume.Report(fcb, changed, FILE_ACTION_MODIFIED);
  return STATUS_SUCCESS;
}

NTSTATUS SetDisposition(Volume& volume, Fcb* fcb, bool remove) {
  if (!remove) {
    fcb->delete_pending = false;
    return STATUS_SUCCESS;
  }
  if (fcb == volume.root()) return STATUS_CANNOT_DELETE;
  NTSTATUS status = volume.LoadAttributes(fcb);
  if (!NT_SUCCESS(status)) return status;
  if ((FileAttributesOf(fcb) & FILE_ATTRIBUTE_READONLY) != 0) return STATUS_CANNOT_DELETE;
  if (fcb->is_directory) {
    status = volume.IsEmpty(fcb);
    if (!NT_SUCCESS(status)) return status;
  }
  fcb->delete_pending = true;
  volume.DirectoryGoes(fcb);
  return STATUS_SUCCESS;
}

// Where a rename or link goes. With a target file object, that is the new directory and its FileName the new
// name; otherwise the name stays in the file's directory.
NTSTATUS FindTarget(Fcb* fcb, PFILE_OBJECT target, const FILE_RENAME_INFORMATION* rename, ULONG length,
                    Fcb** directory, UNICODE_STRING* found) {
  UNICODE_STRING name;
  *directory = fcb->parent;
  if (target != nullptr) {
    *directory = static_cast<Fcb*>(target->FsContext);
    name = target->FileName;
  } else {
    if (length < FIELD_OFFSET(FILE_RENAME_INFORMATION, FileName) ||
        rename->FileNameLength > length - FIELD_OFFSET(FILE_RENAME_INFORMATION, FileName) ||
        rename->FileNameLength > 0xFFFE) {
      return STATUS_INFO_LENGTH_MISMATCH;
    }
    const auto bytes = static_cast<USHORT>(rename->FileNameLength & ~1u);
    name = {bytes, bytes, const_cast<PWSTR>(rename->FileName)};
  }
  for (USHORT i = name.Length / sizeof(WCHAR); i > 0; --i) {  // the last component
    if (name.Buffer[i - 1] != '\\') continue;
    name.Buffer += i;
    name.Length = static_cast<USHORT>(name.Length - i * sizeof(WCHAR));
    break;
  }
  *found = name;
  return names::IsValidComponent(name.Buffer, name.Length / sizeof(WCHAR)) ? STATUS_SUCCESS
                                                                           : STATUS_OBJECT_NAME_INVALID;
}

NTSTATUS SetRename(Volume& volume, Fcb* fcb, PFILE_OBJECT target, const FILE_RENAME_INFORMATION* rename,
                   ULONG length, bool replace) {
  if (fcb == volume.root()) return STATUS_INVALID_PARAMETER;
  if (fcb->delete_pending) return STATUS_DELETE_PENDING;
  UNICODE_STRING name;
  Fcb* directory;
  const NTSTATUS status = FindTarget(fcb, target, rename, length, &directory, &name);
  if (!NT_SUCCESS(status)) return status;
  if (fcb->is_directory) {
    if (volume.HasOpenChildren(fcb)) return STATUS_ACCESS_DENIED;
    for (const Fcb* up = directory; up != nullptr; up = up->parent) {
      if (up == fcb) return STATUS_INVALID_PARAMETER;  // into itself
    }
  }
  return volume.Rename(fcb, directory, name, replace);
}

NTSTATUS SetLink(Volume& volume, Fcb* fcb, PFILE_OBJECT target, const FILE_RENAME_INFORMATION* link,
                 ULONG length, bool replace) {
  if (fcb->is_directory) return STATUS_FILE_IS_A_DIRECTORY;
  if (fcb->delete_pending || fcb->unlinked) return STATUS_ACCESS_DENIED;
  UNICODE_STRING name;
  Fcb* directory;
  const NTSTATUS status = FindTarget(fcb, target, link, length, &directory, &name);
  return NT_SUCCESS(status) ? volume.Link(fcb, directory, name, replace) : status;
}

// Short names, other streams' lengths and what else a volume of Windows would have.
NTSTATUS SetOther(Volume& volume, PIO_STACK_LOCATION stack, Fcb* fcb, PVOID buffer) {
  switch (stack->Parameters.SetFile.FileInformationClass) {
    case FileLinkInformation:
    case FileLinkInformationEx: {
      auto* link = static_cast<FILE_RENAME_INFORMATION*>(buffer);
      return SetLink(volume, fcb, stack->Parameters.SetFile.FileObject, link,
                     stack->Parameters.SetFile.Length, (link->ReplaceIfExists & 1) != 0);
    }
    case FileValidDataLengthInformation: {
      // All data of a file of the host is valid, to its end.
      const NTSTATUS status = volume.LoadAttributes(fcb);
      if (!NT_SUCCESS(status)) return status;
      const LONGLONG valid = static_cast<LARGE_INTEGER*>(buffer)->QuadPart;
      return !fcb->is_directory && valid == static_cast<LONGLONG>(fcb->attributes.size)
                 ? STATUS_SUCCESS
                 : STATUS_INVALID_PARAMETER;
    }
    case FileShortNameInformation:
      return STATUS_SHORT_NAMES_NOT_ENABLED_ON_VOLUME;
    case FileCaseSensitiveInformation:
      return STATUS_NOT_SUPPORTED;
    default:
      return STATUS_INVALID_INFO_CLASS;
  }
}

// Whether setting it breaks oplocks.
bool ConcernsOplocks(FILE_INFORMATION_CLASS kind) {
  switch (kind) {
    case FileEndOfFileInformation:
    case FileAllocationInformation:
    case FileValidDataLengthInformation:
    case FileRenameInformation:
    case FileRenameInformationEx:
    case FileLinkInformation:
    case FileDispositionInformation:
    case FileDispositionInformationEx:
      return true;
    default:
      return false;
  }
}

NTSTATUS SetLocked(Volume& volume, PIO_STACK_LOCATION stack, Fcb* fcb, PVOID buffer) {
  const PFILE_OBJECT file = stack->FileObject;
  const ULONG length = stack->Parameters.SetFile.Length;
  switch (stack->Parameters.SetFile.FileInformationClass) {
    case FileBasicInformation:
      if (length < sizeof(FILE_BASIC_INFORMATION)) return STATUS_INFO_LENGTH_MISMATCH;
      return SetBasic(volume, fcb, *static_cast<FILE_BASIC_INFORMATION*>(buffer));
    case FileDispositionInformation:
      if (length < sizeof(BOOLEAN)) return STATUS_INFO_LENGTH_MISMATCH;
      return SetDisposition(volume, fcb, *static_cast<BOOLEAN*>(buffer) != FALSE);
    case FileDispositionInformationEx:
      if (length < sizeof(ULONG)) return STATUS_INFO_LENGTH_MISMATCH;
      return SetDisposition(volume, fcb, (*static_cast<ULONG*>(buffer) & FILE_DISPOSITION_DELETE) != 0);
    case FileRenameInformation:
    case FileRenameInformationEx: {
      auto* rename = static_cast<FILE_RENAME_INFORMATION*>(buffer);
      if (length < sizeof(BOOLEAN)) return STATUS_INFO_LENGTH_MISMATCH;
      return SetRename(volume, fcb, stack->Parameters.SetFile.FileObject, rename, length,
                       rename->ReplaceIfExists != FALSE);
    }
    case FilePositionInformation: {
      if (length < sizeof(FILE_POSITION_INFORMATION)) return STATUS_INFO_LENGTH_MISMATCH;
      const LARGE_INTEGER position = static_cast<FILE_POSITION_INFORMATION*>(buffer)->CurrentByteOffset;
      if (position.QuadPart < 0) return STATUS_INVALID_PARAMETER;
      file->CurrentByteOffset = position;
      return STATUS_SUCCESS;
    }
    case FileEndOfFileInformation:
    case FileAllocationInformation: {
      if (length < sizeof(LARGE_INTEGER)) return STATUS_INFO_LENGTH_MISMATCH;
      if (fcb->is_directory) return STATUS_INVALID_PARAMETER;
      const LARGE_INTEGER size = *static_cast<LARGE_INTEGER*>(buffer);
      if (size.QuadPart < 0) return STATUS_INVALID_PARAMETER;
      const NTSTATUS status = volume.LoadAttributes(fcb);
      if (!NT_SUCCESS(status)) return status;
      // Room is the host's business; an allocation below the end cuts the file, as on NT.
      const bool allocation = stack->Parameters.SetFile.FileInformationClass == FileAllocationInformation;
      if (allocation && static_cast<ULONG64>(size.QuadPart) >= fcb->attributes.size) return STATUS_SUCCESS;
      return volume.SetSize(fcb, static_cast<ULONG64>(size.QuadPart));
    }
    default:
      return SetOther(volume, stack, fcb, buffer);
  }
}

}  // namespace

ULONG FileAttributesOf(const Fcb* fcb) {
  ULONG attributes = fcb->is_directory ? FILE_ATTRIBUTE_DIRECTORY : FILE_ATTRIBUTE_ARCHIVE;
  if (!fcb->is_directory && (fcb->attributes.mode & kOwnerWrite) == 0) attributes |= FILE_ATTRIBUTE_READONLY;
  return attributes;
}

LARGE_INTEGER TimeOf(const p9::Time& time) {
  LARGE_INTEGER result;
  result.QuadPart = kUnixEpoch + static_cast<LONGLONG>(time.seconds) * 10000000 +
                    static_cast<LONGLONG>(time.nanoseconds / 100);
  return result;
}

p9::Time TimeFrom(LARGE_INTEGER time) {
  const LONGLONG since = time.QuadPart > kUnixEpoch ? time.QuadPart - kUnixEpoch : 0;
  return {static_cast<ULONG64>(since / 10000000), static_cast<ULONG64>(since % 10000000 * 100)};
}

ULONG64 AllocationOf(const Fcb* fcb) {
  if (fcb->is_directory) return 0;
  const ULONG64 blocks = fcb->attributes.blocks * 512;
  const ULONG64 needed = (fcb->attributes.size + 4095) & ~4095ull;
  return blocks > needed ? blocks : needed;
}

NTSTATUS NTAPI HostFsQueryInformation(PDEVICE_OBJECT device, PIRP irp) {
  Volume* volume = VolumeOf(device);
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  auto* fcb = static_cast<Fcb*>(stack->FileObject->FsContext);
  HeldBuffer buffer;
  if (volume == nullptr || fcb == nullptr) return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
  NTSTATUS status = HoldBuffer(irp, stack->Parameters.QueryFile.Length, IoWriteAccess, &buffer);
  if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
  ULONG used = 0;
  volume->Lock();
  status = QueryLocked(*volume, stack->FileObject, fcb, stack->Parameters.QueryFile.FileInformationClass,
                       buffer.address, stack->Parameters.QueryFile.Length, &used);
  volume->Unlock();
  ReleaseBuffer(&buffer);
  return Complete(irp, status, used);
}

NTSTATUS NTAPI HostFsSetInformation(PDEVICE_OBJECT device, PIRP irp) {
  Volume* volume = VolumeOf(device);
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  auto* fcb = static_cast<Fcb*>(stack->FileObject->FsContext);
  HeldBuffer buffer;
  if (volume == nullptr || fcb == nullptr) return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
  NTSTATUS status = ConcernsOplocks(stack->Parameters.SetFile.FileInformationClass) ? CheckOplock(fcb, irp)
                                                                                    : STATUS_SUCCESS;
  if (status == STATUS_PENDING) return status;
  if (NT_SUCCESS(status)) status = HoldBuffer(irp, stack->Parameters.SetFile.Length, IoReadAccess, &buffer);
  if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
  volume->Lock();
  status = SetLocked(*volume, stack, fcb, buffer.address);
  volume->Unlock();
  ReleaseBuffer(&buffer);
  return Complete(irp, status, 0);
}

}  // namespace hostfs
