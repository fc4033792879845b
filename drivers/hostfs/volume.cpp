// Open files and directories of the volume.
#include "volume.h"

#include "names.h"

#pragma code_seg("PAGE")

namespace hostfs {
namespace {

constexpr ULONG64 kPlentyOfRoom = 16 * 1024 * 1024;
constexpr ULONG64 kRoomLife = 10000000;  // 1 s
constexpr ULONG kIdleDirectories = 16;   // directories kept after their last use

}  // namespace

ULONG HashName(const WCHAR* name, USHORT units) {
  ULONG hash = 0;
  for (USHORT i = 0; i < units; ++i) hash = hash * 65599 + RtlUpcaseUnicodeChar(name[i]);
  return hash;
}

bool SameName(const WCHAR* a, USHORT a_units, const WCHAR* b, USHORT b_units) {
  if (a_units != b_units) return false;
  for (USHORT i = 0; i < a_units; ++i) {
    if (a[i] != b[i] && RtlUpcaseUnicodeChar(a[i]) != RtlUpcaseUnicodeChar(b[i])) return false;
  }
  return true;
}

NTSTATUS Volume::Mount(ULONG first_line) {
  KeInitializeGuardedMutex(&lock_);
  const NTSTATUS status = client_.Connect(first_line);
  if (!NT_SUCCESS(status)) return status;
  root_ = NewFcb(nullptr, nullptr, 0, kRootFid, true);
  const NTSTATUS started = root_ != nullptr ? StartNotification() : STATUS_INSUFFICIENT_RESOURCES;
  if (NT_SUCCESS(started)) return STATUS_SUCCESS;
  if (root_ != nullptr) DeleteFcb(root_);
  root_ = nullptr;
  client_.Disconnect();
  return started;
}

void Volume::Dismount() {
  Lock();
  FlushAll();
  TrimDirectories(0);
  if (files_ == root_ && root_->next == nullptr) {
    DeleteFcb(root_);
    root_ = nullptr;
  }
  if (spare_gather_ != nullptr) ExFreePoolWithTag(spare_gather_, kTag);
  spare_gather_ = nullptr;
  StopNotification();
  client_.Disconnect();
  Unlock();
}

Fcb* Volume::NewFcb(Fcb* parent, const WCHAR* name, USHORT units, ULONG fid, bool is_directory) {
  auto* fcb = static_cast<Fcb*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Fcb), kTag));
  if (fcb == nullptr) return nullptr;
  RtlZeroMemory(fcb, sizeof(Fcb));
  FsRtlInitializeFileLock(&fcb->locks, nullptr, nullptr);
  FsRtlInitializeOplock(&fcb->oplock);
  fcb->header.NodeByteSize = sizeof(Fcb);
  fcb->header.IsFastIoPossible = FastIoIsNotPossible;
  fcb->parent = parent;
  if (parent != nullptr) Reference(parent);
  fcb->references = 1;
  fcb->fid = fid;
  fcb->is_directory = is_directory;
  fcb->units = units;
  if (units != 0) RtlCopyMemory(fcb->name, name, units * sizeof(WCHAR));
  fcb->hash = HashName(name, units);
  fcb->next = files_;
  files_ = fcb;
  return fcb;
}

void Volume::DeleteFcb(Fcb* fcb) {
  for (Fcb** link = &files_; *link != nullptr; link = &(*link)->next) {
    if (*link == fcb) {
      *link = fcb->next;
      break;
    }
  }
  if (fcb->fid != kRootFid && fcb->fid != p9::kNoFid) client_.Clunk(fcb->fid);
  FreeListing(fcb->listing);
  if (fcb->gather != nullptr) GiveGatherBuffer(fcb->gather);
  Fcb* parent = fcb->parent;
  FsRtlUninitializeFileLock(&fcb->locks);
  FsRtlUninitializeOplock(&fcb->oplock);
  FreeWatchPath(fcb);
  ExFreePoolWithTag(fcb, kTag);
  if (parent != nullptr) Release(parent);
}

void Volume::Release(Fcb* fcb) {
  if (--fcb->references != 0) return;
  if (fcb->is_directory && !fcb->unlinked) {
    ++idle_directories_;
    if (idle_directories_ > kIdleDirectories) TrimDirectories(kIdleDirectories / 2);
    return;
  }
  FlushGathered(fcb);
  DeleteFcb(fcb);
}

void Volume::Reference(Fcb* fcb) {
  if (fcb->references++ == 0) --idle_directories_;
}

// Forgets directories that nothing uses, the longest known first, until at most `keep` are left.
void Volume::TrimDirectories(ULONG keep) {
  while (idle_directories_ > keep) {
    Fcb* oldest = nullptr;
    for (Fcb* fcb = files_; fcb != nullptr; fcb = fcb->next) {
      if (fcb->references == 0) oldest = fcb;
    }
    if (oldest == nullptr) return;
    --idle_directories_;
    DeleteFcb(oldest);
  }
}

Fcb* Volume::FindOpen(Fcb* directory, const UNICODE_STRING& name) {
  const USHORT units = name.Length / sizeof(WCHAR);
  const ULONG hash = HashName(name.Buffer, units);
  for (Fcb* fcb = files_; fcb != nullptr; fcb = fcb->next) {
    if (fcb->hash == hash && fcb->parent == directory && !fcb->unlinked &&
        SameName(fcb->name, fcb->units, name.Buffer, units)) {
      return fcb;
    }
  }
  return nullptr;
}

bool Volume::HasOpenChildren(const Fcb* directory) const {
  for (const Fcb* fcb = files_; fcb != nullptr; fcb = fcb->next) {
    for (const Fcb* up = fcb->handles != 0 ? fcb->parent : nullptr; up != nullptr; up = up->parent) {
      if (up == directory) return true;
    }
  }
  return false;
}

NTSTATUS Volume::WalkChild(Fcb* directory, const WCHAR* name, USHORT units, Fcb** fcb) {
  Utf8Name utf8;
  NTSTATUS status = utf8.Set(name, units);
  if (!NT_SUCCESS(status)) return status;
  const ULONG fid = client_.NewFid();
  p9::Qid qid = {};
  status = client_.Walk(directory->fid, fid, &utf8, &qid);
  if (!NT_SUCCESS(status)) return status;
  if ((qid.type & p9::kQidSymlink) != 0) {
    client_.Clunk(fid);
    return STATUS_IO_REPARSE_TAG_NOT_HANDLED;
  }
  *fcb = NewFcb(directory, name, units, fid, (qid.type & p9::kQidDirectory) != 0);
  if (*fcb != nullptr) return STATUS_SUCCESS;
  client_.Clunk(fid);
  return STATUS_INSUFFICIENT_RESOURCES;
}

NTSTATUS Volume::Lookup(Fcb* directory, const UNICODE_STRING& name, bool trust_listing, Fcb** fcb) {
  if (Fcb* open = FindOpen(directory, name)) {
    Reference(open);
    *fcb = open;
    return STATUS_SUCCESS;
  }
  const USHORT units = name.Length / sizeof(WCHAR);
  if (trust_listing && NT_SUCCESS(LoadListing(directory, false)) &&
      FindListed(directory, name.Buffer, units) == nullptr) {
    return STATUS_OBJECT_NAME_NOT_FOUND;
  }
  NTSTATUS status = WalkChild(directory, name.Buffer, units, fcb);
  if (status != STATUS_OBJECT_NAME_NOT_FOUND) return status;
  // Another spelling?
  const NTSTATUS loaded = LoadListing(directory, false);
  if (!NT_SUCCESS(loaded)) return loaded;
  ListedName* listed = FindListed(directory, name.Buffer, units);
  if (listed == nullptr) return status;
  status = WalkChild(directory, listed->name, listed->units, fcb);
  if (status == STATUS_OBJECT_NAME_NOT_FOUND) RemoveListed(directory, name.Buffer, units);
  return status;
}

NTSTATUS Volume::Resolve(Fcb* base, UNICODE_STRING path, Fcb** parent, UNICODE_STRING* name) {
  Fcb* directory = base != nullptr ? base : root_;
  Reference(directory);
  USHORT left = path.Length / sizeof(WCHAR);
  WCHAR* at = path.Buffer;
  if (left != 0 && *at == '\\') ++at, --left;
  if (left != 0 && at[left - 1] == '\\') --left;  // a trailing backslash names a directory
  for (;;) {
    USHORT units = 0;
    while (units < left && at[units] != '\\') ++units;
    *name = {static_cast<USHORT>(units * sizeof(WCHAR)), static_cast<USHORT>(units * sizeof(WCHAR)), at};
    if (left != 0 && !names::IsValidComponent(at, units)) {
      Release(directory);
      return STATUS_OBJECT_NAME_INVALID;
    }
    if (units == left) {
      *parent = directory;
      return STATUS_SUCCESS;
    }
    Fcb* child = nullptr;
    const NTSTATUS status = Lookup(directory, *name, false, &child);
    Release(directory);
    if (!NT_SUCCESS(status)) {
      return status == STATUS_OBJECT_NAME_NOT_FOUND || status == STATUS_NOT_A_DIRECTORY
                 ? STATUS_OBJECT_PATH_NOT_FOUND
                 : status;
    }
    if (!child->is_directory || child->delete_pending) {
      const bool pending = child->delete_pending;
      Release(child);
      return pending ? STATUS_DELETE_PENDING : STATUS_OBJECT_PATH_NOT_FOUND;
    }
    directory = child;
    at += units + 1;
    left = static_cast<USHORT>(left - units - 1);
  }
}

NTSTATUS Volume::CreateChild(Fcb* directory, const UNICODE_STRING& name, bool is_directory, ULONG mode,
                             Fcb** fcb) {
  Utf8Name utf8;
  const USHORT units = name.Length / sizeof(WCHAR);
  NTSTATUS status = utf8.Set(name.Buffer, units);
  if (!NT_SUCCESS(status)) return status;
  if (is_directory) {
    status = client_.MakeDirectory(directory->fid, utf8);
    if (!NT_SUCCESS(status)) return status;
    status = WalkChild(directory, name.Buffer, units, fcb);
    if (!NT_SUCCESS(status)) client_.Unlink(directory->fid, utf8, true);
  } else {
    // Memory first: what the host has made would have to be taken back.
    *fcb = NewFcb(directory, name.Buffer, units, p9::kNoFid, false);
    if (*fcb == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
    ULONG fid = 0;
    status =
        client_.CreateFile(directory->fid, utf8, p9::kReadWrite | p9::kCreate | p9::kExclusive, mode, &fid);
    if (!NT_SUCCESS(status)) {
      DeleteFcb(*fcb);
      *fcb = nullptr;
      return status;
    }
    (*fcb)->fid = fid;
    (*fcb)->mode = OpenMode::kReadWrite;
    LARGE_INTEGER now;
    KeQuerySystemTime(&now);
    p9::Attributes& attributes = (*fcb)->attributes;
    attributes.mode = 0100000 | mode;
    attributes.links = 1;
    attributes.access = attributes.modification = attributes.change = TimeFrom(now);
    (*fcb)->attributes_valid = true;
  }
  if (!NT_SUCCESS(status)) return status;
  AddListed(directory, name.Buffer, units, is_directory);
  ReportName(*fcb, FILE_ACTION_ADDED);
  return STATUS_SUCCESS;
}

// Whether a rename may replace the target: not when it is open, read-only, or either of the two is a
// directory.
NTSTATUS Volume::CheckReplaceable(Fcb* fcb, Fcb* target, bool replace) {
  if (!replace) return STATUS_OBJECT_NAME_COLLISION;
  if (target->handles != 0 || target->is_directory || fcb->is_directory) return STATUS_ACCESS_DENIED;
  const NTSTATUS status = LoadAttributes(target);
  if (!NT_SUCCESS(status)) return status;
  return (FileAttributesOf(target) & FILE_ATTRIBUTE_READONLY) != 0 ? STATUS_ACCESS_DENIED : STATUS_SUCCESS;
}

// What the listing knows, at most kListingLife old.
bool Volume::Exists(Fcb* directory, const UNICODE_STRING& name) {
  if (FindOpen(directory, name) != nullptr) return true;
  return NT_SUCCESS(LoadListing(directory, false)) &&
         FindListed(directory, name.Buffer, name.Length / sizeof(WCHAR)) != nullptr;
}

NTSTATUS Volume::Rename(Fcb* fcb, Fcb* directory, const UNICODE_STRING& name, bool replace) {
  const USHORT units = name.Length / sizeof(WCHAR);
  Utf8Name old_name;
  Utf8Name new_name;
  NTSTATUS status = old_name.Set(fcb->name, fcb->units);
  if (NT_SUCCESS(status)) status = new_name.Set(name.Buffer, units);
  if (!NT_SUCCESS(status)) return status;
  const bool same = fcb->parent == directory && SameName(fcb->name, fcb->units, name.Buffer, units);
  Fcb* target = nullptr;
  if (!same) {
    status = Lookup(directory, name, true, &target);
    if (!NT_SUCCESS(status) && status != STATUS_OBJECT_NAME_NOT_FOUND) return status;
  }
  status = target != nullptr ? CheckReplaceable(fcb, target, replace) : STATUS_SUCCESS;
  // The host's rename replaces a file of exactly this name; one that is spelled otherwise must go first.
  const bool exact = target != nullptr && target->units == units &&
                     RtlCompareMemory(target->name, name.Buffer, name.Length) == name.Length;
  if (NT_SUCCESS(status) && target != nullptr && !exact) status = Unlink(target);
  if (NT_SUCCESS(status)) status = client_.Rename(fcb->parent->fid, old_name, directory->fid, new_name);
  if (NT_SUCCESS(status) && exact) {
    RemoveListed(directory, name.Buffer, units);
    target->unlinked = true;
    ReportName(target, FILE_ACTION_REMOVED);
  }
  if (target != nullptr) Release(target);
  if (!NT_SUCCESS(status)) return status;
  const bool stays = fcb->parent == directory;
  ReportName(fcb, stays ? FILE_ACTION_RENAMED_OLD_NAME : FILE_ACTION_REMOVED);
  RemoveListed(fcb->parent, fcb->name, fcb->units);
  AddListed(directory, name.Buffer, units, fcb->is_directory);
  Reference(directory);
  Release(fcb->parent);
  fcb->parent = directory;
  fcb->units = units;
  RtlCopyMemory(fcb->name, name.Buffer, units * sizeof(WCHAR));
  fcb->hash = HashName(fcb->name, units);
  ReportName(fcb, stays ? FILE_ACTION_RENAMED_NEW_NAME : FILE_ACTION_ADDED);
  // Without memory for its new path a directory is watched no more.
  if (fcb->watch_path.Buffer != nullptr && !NT_SUCCESS(MakeWatchPath(fcb))) DirectoryGoes(fcb);
  return STATUS_SUCCESS;
}

NTSTATUS Volume::Link(Fcb* fcb, Fcb* directory, const UNICODE_STRING& name, bool replace) {
  Utf8Name utf8;
  NTSTATUS status = utf8.Set(name.Buffer, name.Length / sizeof(WCHAR));
  if (!NT_SUCCESS(status)) return status;
  Fcb* target = nullptr;
  status = Lookup(directory, name, false, &target);
  if (NT_SUCCESS(status)) {
    status = target == fcb ? STATUS_OBJECT_NAME_COLLISION : CheckReplaceable(fcb, target, replace);
    if (NT_SUCCESS(status)) status = Unlink(target);
    Release(target);
    if (!NT_SUCCESS(status)) return status;
  } else if (status != STATUS_OBJECT_NAME_NOT_FOUND) {
    return status;
  }
  status = client_.Link(directory->fid, fcb->fid, utf8);
  if (!NT_SUCCESS(status)) return status;
  fcb->attributes_valid = false;
  AddListed(directory, name.Buffer, name.Length / sizeof(WCHAR), false);
  Fcb* made = nullptr;  // only for its name
  if (!IsListEmpty(&watchers_) && NT_SUCCESS(Lookup(directory, name, false, &made))) {
    ReportName(made, FILE_ACTION_ADDED);
    Release(made);
  }
  return STATUS_SUCCESS;
}

NTSTATUS Volume::Unlink(Fcb* fcb) {
  Utf8Name name;
  NTSTATUS status = name.Set(fcb->name, fcb->units);
  if (NT_SUCCESS(status)) status = client_.Unlink(fcb->parent->fid, name, fcb->is_directory);
  if (!NT_SUCCESS(status) && status != STATUS_OBJECT_NAME_NOT_FOUND) return status;
  RemoveListed(fcb->parent, fcb->name, fcb->units);
  fcb->unlinked = true;
  fcb->gather_length = 0;
  ReportName(fcb, FILE_ACTION_REMOVED);
  return STATUS_SUCCESS;
}

NTSTATUS Volume::LoadAttributes(Fcb* fcb) {
  if (fcb->attributes_valid) return STATUS_SUCCESS;
  const NTSTATUS status = client_.GetAttributes(fcb->fid, &fcb->attributes);
  if (!NT_SUCCESS(status)) return status;
  // Kept while we have the file open for ourselves; the host's later changes of a directory must show.
  fcb->attributes_valid = !fcb->is_directory && fcb->handles != 0;
  const ULONG64 gathered_end = fcb->gather_offset + fcb->gather_length;
  if (fcb->gather_length != 0 && gathered_end > fcb->attributes.size) fcb->attributes.size = gathered_end;
  return STATUS_SUCCESS;
}

NTSTATUS Volume::OpenFor(Fcb* fcb, bool write) {
  if (fcb->mode == OpenMode::kReadWrite || (fcb->mode == OpenMode::kReadOnly && !write))
    return STATUS_SUCCESS;
  if (fcb->mode == OpenMode::kClosed) {
    NTSTATUS status = client_.Open(fcb->fid, p9::kReadWrite);
    if (NT_SUCCESS(status)) {
      fcb->mode = OpenMode::kReadWrite;
    } else if (!write) {
      status = client_.Open(fcb->fid, p9::kReadOnly);
      if (NT_SUCCESS(status)) fcb->mode = OpenMode::kReadOnly;
    }
    return status;
  }
  // An open fid cannot be opened again: take another.
  Utf8Name name;
  NTSTATUS status = name.Set(fcb->name, fcb->units);
  if (!NT_SUCCESS(status)) return status;
  const ULONG fid = client_.NewFid();
  status = client_.Walk(fcb->parent->fid, fid, &name, nullptr);
  if (!NT_SUCCESS(status)) return status;
  status = client_.Open(fid, p9::kReadWrite);
  if (!NT_SUCCESS(status)) {
    client_.Clunk(fid);
    return status;
  }
  client_.Clunk(fcb->fid);
  fcb->fid = fid;
  fcb->mode = OpenMode::kReadWrite;
  return STATUS_SUCCESS;
}

PUCHAR Volume::TakeGatherBuffer() {
  if (spare_gather_ == nullptr)
    return static_cast<PUCHAR>(ExAllocatePoolWithTag(NonPagedPoolNx, kGatherSize, kTag));
  PUCHAR buffer = spare_gather_;
  spare_gather_ = nullptr;
  return buffer;
}

void Volume::GiveGatherBuffer(PUCHAR buffer) {
  if (spare_gather_ != nullptr) {
    ExFreePoolWithTag(buffer, kTag);
  } else {
    spare_gather_ = buffer;
  }
}

NTSTATUS Volume::FlushGathered(Fcb* fcb, bool behind) {
  if (fcb->gather_length == 0) return STATUS_SUCCESS;
  NTSTATUS status = OpenFor(fcb, true);
  ULONG done = 0;
  if (NT_SUCCESS(status) && behind) {
    status = client_.WriteBehind(fcb->fid, fcb->gather_offset, fcb->gather,
                                 static_cast<ULONG>(fcb->gather_length));
  } else if (NT_SUCCESS(status)) {
    status = client_.Write(fcb->fid, fcb->gather_offset, fcb->gather, static_cast<ULONG>(fcb->gather_length),
                           &done);
  }
  fcb->gather_length = 0;
  if (!NT_SUCCESS(status)) {
    fcb->write_error = status;
    fcb->attributes_valid = false;
    DbgPrint("hostfs: delayed write to %.*ws failed: %08lX\n", static_cast<int>(fcb->units), fcb->name,
             status);
  }
  return status;
}

NTSTATUS Volume::FlushAll() {
  NTSTATUS status = STATUS_SUCCESS;
  for (Fcb* fcb = files_; fcb != nullptr; fcb = fcb->next) {
    const NTSTATUS one = FlushGathered(fcb);
    if (!NT_SUCCESS(one)) status = one;
  }
  const NTSTATUS late = client_.Settle();
  return NT_SUCCESS(status) ? late : status;
}

bool Volume::HasRoom(ULONG bytes) {
  const ULONG64 now = KeQueryInterruptTime();
  if (room_time_ == 0 || now - room_time_ > kRoomLife) {
    p9::Statistics statistics = {};
    const NTSTATUS status = client_.GetStatistics(&statistics);
    room_ = NT_SUCCESS(status) ? statistics.available * statistics.block_size : 0;
    room_time_ = now;
  }
  if (room_ < kPlentyOfRoom + bytes) return false;
  room_ -= bytes;
  return true;
}

NTSTATUS Volume::SetSize(Fcb* fcb, ULONG64 size) {
  NTSTATUS status = FlushGathered(fcb);
  if (!NT_SUCCESS(status)) return status;
  if (size == 0 && fcb->mode == OpenMode::kClosed) {
    status = client_.Open(fcb->fid, p9::kReadWrite | p9::kTruncate);
    if (NT_SUCCESS(status)) fcb->mode = OpenMode::kReadWrite;
  } else {
    p9::SetAttributes set = {};
    set.valid = p9::kSetSize;
    set.size = size;
    status = client_.SetAttributes(fcb->fid, set);
  }
  if (!NT_SUCCESS(status)) return status;
  fcb->attributes.size = size;
  fcb->attributes.blocks = (size + 511) / 512;
  Report(fcb, FILE_NOTIFY_CHANGE_SIZE | FILE_NOTIFY_CHANGE_LAST_WRITE, FILE_ACTION_MODIFIED);
  return STATUS_SUCCESS;
}

}  // namespace hostfs
