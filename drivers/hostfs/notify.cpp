// Directory change notification: IRP_MN_NOTIFY_CHANGE_DIRECTORY, and the reports of what goes through this
// driver. What the host itself changes is not heard of: the protocol has no such message.
#include "volume.h"

#pragma code_seg("PAGE")

namespace hostfs {
namespace {

constexpr ULONG kLongestPath = 0xFFFE;  // bytes

// It raises where there is no memory.
NTSTATUS MakeSync(PNOTIFY_SYNC* sync) {
  __try {
    FsRtlNotifyInitializeSync(sync);
    __asm__ volatile("nop");
  } __except (EXCEPTION_EXECUTE_HANDLER) {
    return static_cast<NTSTATUS>(_exception_code());
  }
  return STATUS_SUCCESS;
}

// The bytes of a path from the root.
ULONG PathBytes(const Fcb* fcb) {
  ULONG units = fcb->parent == nullptr ? 1 : 0;
  for (; fcb->parent != nullptr; fcb = fcb->parent) units += fcb->units + 1u;
  return units * sizeof(WCHAR);
}

// Writes it into `bytes` bytes, as many as PathBytes said.
void PutPath(const Fcb* fcb, ULONG bytes, WCHAR* path) {
  if (fcb->parent == nullptr) path[0] = '\\';
  WCHAR* end = path + bytes / sizeof(WCHAR);
  for (; fcb->parent != nullptr; fcb = fcb->parent) {
    end -= fcb->units;
    RtlCopyMemory(end, fcb->name, fcb->units * sizeof(WCHAR));
    *--end = '\\';
  }
}

}  // namespace

NTSTATUS Volume::StartNotification() {
  InitializeListHead(&watchers_);
  return MakeSync(&notify_sync_);
}

void Volume::StopNotification() {
  if (notify_sync_ != nullptr) FsRtlNotifyUninitializeSync(&notify_sync_);
  if (report_path_ != nullptr) ExFreePoolWithTag(report_path_, kTag);
  report_path_ = nullptr;
}

NTSTATUS Volume::PrepareWatch(Fcb* directory) {
  if (report_path_ == nullptr)
    report_path_ = static_cast<WCHAR*>(ExAllocatePoolWithTag(NonPagedPoolNx, kLongestPath, kTag));
  if (report_path_ == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  return directory->watch_path.Buffer != nullptr ? STATUS_SUCCESS : MakeWatchPath(directory);
}

NTSTATUS Volume::MakeWatchPath(Fcb* directory) {
  const ULONG bytes = PathBytes(directory);
  if (bytes > kLongestPath) return STATUS_NAME_TOO_LONG;
  auto* path = static_cast<WCHAR*>(ExAllocatePoolWithTag(NonPagedPoolNx, bytes, kTag));
  if (path == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  PutPath(directory, bytes, path);
  FreeWatchPath(directory);
  directory->watch_path = {static_cast<USHORT>(bytes), static_cast<USHORT>(bytes),
                           reinterpret_cast<PCHAR>(path)};
  return STATUS_SUCCESS;
}

void Volume::FreeWatchPath(Fcb* directory) {
  if (directory->watch_path.Buffer != nullptr) ExFreePoolWithTag(directory->watch_path.Buffer, kTag);
  directory->watch_path = {};
}

NTSTATUS Volume::Watch(Fcb* directory, Ccb* ccb, PIRP irp) {
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  if (directory->delete_pending) return STATUS_DELETE_PENDING;
  const NTSTATUS status = PrepareWatch(directory);
  if (!NT_SUCCESS(status)) return status;
  if (!ccb->watching) {
    ccb->watching = true;
    ccb->next_watcher = directory->watchers;
    directory->watchers = ccb;
  }
  FsRtlNotifyFullChangeDirectory(notify_sync_, &watchers_, ccb, &directory->watch_path,
                                 (stack->Flags & SL_WATCH_TREE) != 0, FALSE,
                                 stack->Parameters.NotifyDirectory.CompletionFilter, irp, nullptr, nullptr);
  return STATUS_PENDING;
}

void Volume::EndWatch(Fcb* directory, Ccb* ccb) {
  if (!ccb->watching) return;
  for (Ccb** link = &directory->watchers; *link != nullptr; link = &(*link)->next_watcher) {
    if (*link != ccb) continue;
    *link = ccb->next_watcher;
    break;
  }
  ccb->watching = false;
  FsRtlNotifyCleanup(notify_sync_, &watchers_, ccb);
}

void Volume::DirectoryGoes(Fcb* directory) {
  for (Ccb* ccb = directory->watchers; ccb != nullptr; ccb = ccb->next_watcher)
    FsRtlNotifyFullChangeDirectory(notify_sync_, &watchers_, ccb, nullptr, FALSE, FALSE, 0, nullptr, nullptr,
                                   nullptr);
}

void Volume::Report(const Fcb* fcb, ULONG filter, ULONG action) {
  if (IsListEmpty(&watchers_) || fcb->parent == nullptr) return;
  const ULONG bytes = PathBytes(fcb);
  if (bytes > kLongestPath) return;
  PutPath(fcb, bytes, report_path_);
  STRING path = {static_cast<USHORT>(bytes), static_cast<USHORT>(bytes),
                 reinterpret_cast<PCHAR>(report_path_)};
  FsRtlNotifyFullReportChange(notify_sync_, &watchers_, &path,
                              static_cast<USHORT>(bytes - fcb->units * sizeof(WCHAR)), nullptr, nullptr,
                              filter, action, nullptr);
}

NTSTATUS HostFsNotify(Volume& volume, PIRP irp) {
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  auto* fcb = static_cast<Fcb*>(stack->FileObject->FsContext);
  auto* ccb = static_cast<Ccb*>(stack->FileObject->FsContext2);
  if (fcb == nullptr || ccb == nullptr || !fcb->is_directory || ccb->is_volume)
    return Complete(irp, STATUS_INVALID_PARAMETER, 0);
  if (ccb->cleaned_up) return Complete(irp, STATUS_NOTIFY_CLEANUP, 0);
  // The answer comes in another thread, with the volume locked.
  NTSTATUS status = KeepBuffer(irp, stack->Parameters.NotifyDirectory.Length, IoWriteAccess);
  if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
  volume.Lock();
  status = volume.Watch(fcb, ccb, irp);
  volume.Unlock();
  return status == STATUS_PENDING ? status : Complete(irp, status, 0);
}

}  // namespace hostfs
