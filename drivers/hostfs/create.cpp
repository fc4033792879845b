// IRP_MJ_CREATE, IRP_MJ_CLEANUP, IRP_MJ_CLOSE.
#include "names.h"
#include "volume.h"

#pragma code_seg("PAGE")

namespace hostfs {
namespace {

// What an open asks for, taken from the IRP once.
struct OpenRequest {
  PIRP irp;
  PFILE_OBJECT file;
  ULONG disposition;
  ULONG options;
  ULONG attributes;
  USHORT share;
  ACCESS_MASK access;
  bool target_directory;

  bool WantsDirectory() const { return (options & FILE_DIRECTORY_FILE) != 0; }
  bool MayCreate() const { return disposition != FILE_OPEN && disposition != FILE_OVERWRITE; }
  bool Overwrites() const {
    return disposition == FILE_SUPERSEDE || disposition == FILE_OVERWRITE || disposition == FILE_OVERWRITE_IF;
  }
};

constexpr ULONG kReadOnlyMode = 0444;
constexpr ULONG kNormalMode = 0644;
constexpr ACCESS_MASK kWriteAccess = FILE_WRITE_DATA | FILE_APPEND_DATA;

OpenRequest RequestOf(PIRP irp) {
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  OpenRequest request;
  request.irp = irp;
  request.file = stack->FileObject;
  request.disposition = stack->Parameters.Create.Options >> 24;
  request.options = stack->Parameters.Create.Options & 0xFFFFFF;
  request.attributes = stack->Parameters.Create.FileAttributes;
  request.share = stack->Parameters.Create.ShareAccess;
  request.access = stack->Parameters.Create.SecurityContext->DesiredAccess;
  request.target_directory = (stack->Flags & SL_OPEN_TARGET_DIRECTORY) != 0;
  return request;
}

// Makes the file object one more handle of the FCB, whose reference it takes over on success.
NTSTATUS Attach(const OpenRequest& request, Fcb* fcb, bool is_volume) {
  auto* ccb = static_cast<Ccb*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Ccb), kTag));
  if (ccb == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlZeroMemory(ccb, sizeof(Ccb));
  if (fcb->handles == 0) {
    IoSetShareAccess(request.access, request.share, request.file, &fcb->share);
  } else {
    const NTSTATUS status =
        IoCheckShareAccess(request.access, request.share, request.file, &fcb->share, TRUE);
    if (!NT_SUCCESS(status)) {
      ExFreePoolWithTag(ccb, kTag);
      return status;
    }
  }
  ++fcb->handles;
  ccb->is_volume = is_volume;
  ccb->delete_on_close = (request.options & FILE_DELETE_ON_CLOSE) != 0;
  if (ccb->delete_on_close) request.file->Flags |= FO_DELETE_ON_CLOSE;
  ccb->append_only = (request.access & kWriteAccess) == FILE_APPEND_DATA;
  request.file->FsContext = fcb;
  request.file->FsContext2 = ccb;
  request.file->SectionObjectPointer = &fcb->sections;
  // Says to the I/O manager that fast I/O may be tried; the cache is ours, not Cc's.
  if (!fcb->is_directory && !is_volume) request.file->PrivateCacheMap = fcb;
  return STATUS_SUCCESS;
}

NTSTATUS CheckExisting(Volume& volume, const OpenRequest& request, Fcb* fcb) {
  if (fcb->delete_pending) return STATUS_DELETE_PENDING;
  if (request.disposition == FILE_CREATE) return STATUS_OBJECT_NAME_COLLISION;
  if (fcb->is_directory) {
    if ((request.options & FILE_NON_DIRECTORY_FILE) != 0) return STATUS_FILE_IS_A_DIRECTORY;
    if (request.Overwrites()) return STATUS_OBJECT_NAME_COLLISION;
  } else if (request.WantsDirectory()) {
    return STATUS_NOT_A_DIRECTORY;
  }
  const bool deletes = (request.options & FILE_DELETE_ON_CLOSE) != 0;
  if (deletes && fcb == volume.root()) return STATUS_CANNOT_DELETE;
  if (deletes && (request.access & DELETE) == 0) return STATUS_ACCESS_DENIED;
  const bool writes = !fcb->is_directory && ((request.access & kWriteAccess) != 0 || request.Overwrites());
  if (writes || deletes) {
    const NTSTATUS status = volume.LoadAttributes(fcb);
    if (!NT_SUCCESS(status)) return status;
    if ((FileAttributesOf(fcb) & FILE_ATTRIBUTE_READONLY) != 0)
      return writes ? STATUS_ACCESS_DENIED : STATUS_CANNOT_DELETE;
  }
  return STATUS_SUCCESS;
}

void Detach(const OpenRequest& request, Fcb* fcb) {
  IoRemoveShareAccess(request.file, &fcb->share);
  --fcb->handles;
  ExFreePoolWithTag(request.file->FsContext2, kTag);
  request.file->FsContext = nullptr;
  request.file->FsContext2 = nullptr;
  request.file->SectionObjectPointer = nullptr;
  request.file->PrivateCacheMap = nullptr;
}

// Takes over the reference to `fcb`. STATUS_PENDING: the open waits for an oplock, and comes again.
NTSTATUS OpenExisting(Volume& volume, const OpenRequest& request, Fcb* fcb, ULONG_PTR* information) {
  NTSTATUS status = CheckExisting(volume, request, fcb);
  const NTSTATUS broken = NT_SUCCESS(status) ? BreakForOpen(fcb, request.irp) : status;
  if (NT_SUCCESS(broken) && broken != STATUS_PENDING) status = Attach(request, fcb, false);
  if (!NT_SUCCESS(broken) || broken == STATUS_PENDING || !NT_SUCCESS(status)) {
    volume.Release(fcb);
    return NT_SUCCESS(status) ? broken : status;
  }
  *information = FILE_OPENED;
  if (request.Overwrites()) {
    *information = request.disposition == FILE_SUPERSEDE ? FILE_SUPERSEDED : FILE_OVERWRITTEN;
    fcb->gather_length = 0;
    status = volume.SetSize(fcb, 0);
    if (!NT_SUCCESS(status)) {
      Detach(request, fcb);
      volume.Release(fcb);
      return status;
    }
  }
  return broken;
}

NTSTATUS CreateNew(Volume& volume, const OpenRequest& request, Fcb* parent, const UNICODE_STRING& name,
                   ULONG_PTR* information) {
  if (parent->delete_pending) return STATUS_DELETE_PENDING;
  const bool read_only = (request.attributes & FILE_ATTRIBUTE_READONLY) != 0;
  if (read_only && (request.options & FILE_DELETE_ON_CLOSE) != 0) return STATUS_CANNOT_DELETE;
  Fcb* fcb = nullptr;
  NTSTATUS status = volume.CreateChild(parent, name, request.WantsDirectory(),
                                       read_only ? kReadOnlyMode : kNormalMode, &fcb);
  if (!NT_SUCCESS(status))
    return status == STATUS_OBJECT_NAME_NOT_FOUND ? STATUS_OBJECT_PATH_NOT_FOUND : status;
  status = Attach(request, fcb, false);
  if (!NT_SUCCESS(status)) {
    volume.Unlink(fcb);  // nobody has seen it
    volume.Release(fcb);
    return status;
  }
  *information = FILE_CREATED;
  return STATUS_SUCCESS;
}

// SL_OPEN_TARGET_DIRECTORY: opens the directory that holds the name, leaves the name alone in the file
// object, and tells whether a file of that name exists. Takes over the reference to `parent`.
NTSTATUS OpenTargetDirectory(Volume& volume, const OpenRequest& request, Fcb* parent,
                             const UNICODE_STRING& name, ULONG_PTR* information) {
  NTSTATUS status = name.Length != 0 ? STATUS_SUCCESS : STATUS_OBJECT_NAME_INVALID;
  if (NT_SUCCESS(status)) {
    *information = volume.Exists(parent, name) ? FILE_EXISTS : FILE_DOES_NOT_EXIST;
    status = Attach(request, parent, false);
  }
  if (!NT_SUCCESS(status)) {
    volume.Release(parent);
    return status;
  }
  UNICODE_STRING& whole = request.file->FileName;
  RtlMoveMemory(whole.Buffer, name.Buffer, name.Length);
  whole.Length = name.Length;
  return STATUS_SUCCESS;
}

NTSTATUS OpenLocked(Volume& volume, const OpenRequest& request, ULONG_PTR* information) {
  if (request.disposition > FILE_MAXIMUM_DISPOSITION) return STATUS_INVALID_PARAMETER;
  const PFILE_OBJECT related = request.file->RelatedFileObject;
  const UNICODE_STRING& path = request.file->FileName;
  const USHORT units = path.Length / sizeof(WCHAR);
  if (units == 0 && related == nullptr) {
    if (request.disposition != FILE_OPEN && request.disposition != FILE_OPEN_IF) return STATUS_ACCESS_DENIED;
    if (request.WantsDirectory()) return STATUS_NOT_A_DIRECTORY;
    volume.Reference(volume.root());
    *information = FILE_OPENED;
    const NTSTATUS status = Attach(request, volume.root(), true);
    if (!NT_SUCCESS(status)) volume.Release(volume.root());
    return status;
  }
  if ((request.options & FILE_OPEN_BY_FILE_ID) != 0) return STATUS_NOT_SUPPORTED;
  if (related != nullptr && units != 0 && path.Buffer[0] == '\\') return STATUS_INVALID_PARAMETER;
  const bool trailing = units > 1 && path.Buffer[units - 1] == '\\';
  if (trailing && (request.options & FILE_NON_DIRECTORY_FILE) != 0) return STATUS_OBJECT_NAME_INVALID;
  Fcb* parent = nullptr;
  UNICODE_STRING name;
  NTSTATUS status = volume.Resolve(related != nullptr ? static_cast<Fcb*>(related->FsContext) : nullptr, path,
                                   &parent, &name);
  if (!NT_SUCCESS(status)) return status;
  if (!parent->is_directory && name.Length != 0) {
    volume.Release(parent);
    return STATUS_OBJECT_PATH_NOT_FOUND;
  }
  if (request.target_directory) return OpenTargetDirectory(volume, request, parent, name, information);
  if (name.Length == 0)
    return OpenExisting(volume, request, parent, information);  // the root, or `related` itself
  Fcb* fcb = nullptr;
  status = volume.Lookup(parent, name, request.MayCreate(), &fcb);
  if (status == STATUS_OBJECT_NAME_NOT_FOUND && request.MayCreate()) {
    status = trailing && !request.WantsDirectory() ? STATUS_OBJECT_NAME_INVALID
                                                   : CreateNew(volume, request, parent, name, information);
    if (status != STATUS_OBJECT_NAME_COLLISION) {
      volume.Release(parent);
      return status;
    }
    status = volume.Lookup(parent, name, false, &fcb);  // the host made it meanwhile
  }
  volume.Release(parent);
  return NT_SUCCESS(status) ? OpenExisting(volume, request, fcb, information) : status;
}

void FreeScan(Ccb* ccb) {
  for (ULONG i = 0; i < ccb->entry_count; ++i) ExFreePoolWithTag(ccb->entries[i], kTag);
  if (ccb->entries != nullptr) ExFreePoolWithTag(ccb->entries, kTag);
  if (ccb->pattern != nullptr) ExFreePoolWithTag(ccb->pattern, kTag);
}

}  // namespace

NTSTATUS NTAPI HostFsCreate(PDEVICE_OBJECT device, PIRP irp) {
  Volume* volume = VolumeOf(device);
  const OpenRequest request = RequestOf(irp);
  if (volume == nullptr) return Complete(irp, STATUS_SUCCESS, FILE_OPENED);
  ULONG_PTR information = 0;
  volume->Lock();
  const NTSTATUS status = OpenLocked(*volume, request, &information);
  volume->Unlock();
  return status == STATUS_PENDING ? status : Complete(irp, status, NT_SUCCESS(status) ? information : 0);
}

NTSTATUS NTAPI HostFsCleanup(PDEVICE_OBJECT device, PIRP irp) {
  Volume* volume = VolumeOf(device);
  const PFILE_OBJECT file = IoGetCurrentIrpStackLocation(irp)->FileObject;
  auto* fcb = static_cast<Fcb*>(file->FsContext);
  auto* ccb = static_cast<Ccb*>(file->FsContext2);
  if (volume == nullptr || ccb == nullptr || ccb->cleaned_up) return Complete(irp, STATUS_SUCCESS, 0);
  FsRtlFastUnlockAll(&fcb->locks, file, IoGetRequestorProcess(irp), nullptr);
  volume->Lock();
  ccb->cleaned_up = true;
  volume->EndWatch(fcb, ccb);
  IoRemoveShareAccess(file, &fcb->share);
  --fcb->handles;
  CheckOplock(fcb, irp);  // the handle's own ends; who waited for that finds the share access free
  if (ccb->delete_on_close) {
    fcb->delete_pending = true;
    volume->DirectoryGoes(fcb);
  }
  NTSTATUS status = STATUS_SUCCESS;
  if (fcb->handles == 0) {
    if (fcb->delete_pending && !fcb->unlinked) {
      status = volume->Unlink(fcb);
      if (!NT_SUCCESS(status)) fcb->delete_pending = false;
    } else {
      status = volume->FlushGathered(fcb, true);
    }
    if (!fcb->unlinked) fcb->attributes_valid = false;  // the host may change the file from here on
  }
  file->Flags |= FO_CLEANUP_COMPLETE;
  volume->Unlock();
  return Complete(irp, status, 0);
}

NTSTATUS NTAPI HostFsClose(PDEVICE_OBJECT device, PIRP irp) {
  Volume* volume = VolumeOf(device);
  const PFILE_OBJECT file = IoGetCurrentIrpStackLocation(irp)->FileObject;
  auto* fcb = static_cast<Fcb*>(file->FsContext);
  auto* ccb = static_cast<Ccb*>(file->FsContext2);
  if (volume == nullptr || ccb == nullptr) return Complete(irp, STATUS_SUCCESS, 0);
  volume->Lock();
  file->FsContext = nullptr;
  file->FsContext2 = nullptr;
  file->PrivateCacheMap = nullptr;
  FreeScan(ccb);
  ExFreePoolWithTag(ccb, kTag);
  volume->Release(fcb);
  volume->Unlock();
  return Complete(irp, STATUS_SUCCESS, 0);
}

}  // namespace hostfs
