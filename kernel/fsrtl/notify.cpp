// Directory change notification: a list of watchers in the file system's volume; each remembers the changes
// that came while no request of its was pending, up to the size of its buffer.
#include "fsrtl_internal.h"

namespace {

struct Notify {
  LIST_ENTRY link;      // the file system's list
  LIST_ENTRY requests;  // pending IRPs (Tail.Overlay.ListEntry); DriverContext[0] is the RealSync
  PVOID context;
  PSTRING directory;  // the file system's; 0: everything
  BOOLEAN watch_tree;
  BOOLEAN ignore_buffer;
  ULONG filter;
  PCHECK_FOR_TRAVERSE_ACCESS traverse;
  PSECURITY_SUBJECT_CONTEXT subject;
  PFILTER_REPORT_CHANGE filter_callback;
  PUCHAR buffer;  // changes since the last answer; 0: none yet
  ULONG capacity;
  ULONG used;
  ULONG last_entry;
  bool overflow;  // changes were lost, or the watcher reads no names
};

// Behind a PNOTIFY_SYNC.
struct RealSync {
  FAST_MUTEX mutex;
  LIST_ENTRY done;  // IRPs to complete when the mutex is released
};

// Holds the mutex; the requests that were finished meanwhile are completed after it.
class NotifyGuard {
 public:
  explicit NotifyGuard(PNOTIFY_SYNC sync) : sync_(static_cast<RealSync*>(sync)) {
    InitializeListHead(&done_);
    ExAcquireFastMutex(&sync_->mutex);
  }
  ~NotifyGuard() {
    ExReleaseFastMutex(&sync_->mutex);
    while (!IsListEmpty(&done_)) {
      PIRP irp = CONTAINING_RECORD(RemoveHeadList(&done_), IRP, Tail.Overlay.ListEntry);
      IofCompleteRequest(irp, IO_NO_INCREMENT);
    }
  }
  NotifyGuard(const NotifyGuard&) = delete;
  NotifyGuard& operator=(const NotifyGuard&) = delete;
  void Finish(PIRP irp, NTSTATUS status, ULONG_PTR information) {
    irp->IoStatus.Status = status;
    irp->IoStatus.Information = information;
    InsertTailList(&done_, &irp->Tail.Overlay.ListEntry);
  }
  RealSync* sync() const { return sync_; }

 private:
  RealSync* sync_;
  LIST_ENTRY done_;
};

// The cancel routine only marks: the mutex cannot be taken under the cancel spin lock, and is not held at
// DISPATCH_LEVEL. Called with the lock released, at the caller's IRQL (<= APC_LEVEL for who may cancel).
void NTAPI CancelRequest(PDEVICE_OBJECT, PIRP irp) {
  IoReleaseCancelSpinLock(irp->CancelIrql);
  NotifyGuard guard(irp->Tail.Overlay.DriverContext[0]);
  RemoveEntryList(&irp->Tail.Overlay.ListEntry);
  guard.Finish(irp, STATUS_CANCELLED, 0);
}

PIRP TakeRequest(Notify* notify) {
  for (LIST_ENTRY* link = notify->requests.Flink; link != &notify->requests; link = link->Flink) {
    PIRP irp = CONTAINING_RECORD(link, IRP, Tail.Overlay.ListEntry);
    if (IoSetCancelRoutine(irp, nullptr) == nullptr) continue;  // its cancel routine waits for the mutex
    RemoveEntryList(link);
    return irp;
  }
  return nullptr;
}

PVOID OutputOf(PIRP irp) {
  if (irp->MdlAddress != nullptr) return MmGetSystemAddressForMdlSafe(irp->MdlAddress, NormalPagePriority);
  return irp->AssociatedIrp.SystemBuffer != nullptr ? irp->AssociatedIrp.SystemBuffer : irp->UserBuffer;
}

// Answers a request with what is remembered: the entries, or STATUS_NOTIFY_ENUM_DIR where they do not fit.
void Answer(NotifyGuard* guard, Notify* notify, PIRP irp) {
  const ULONG length = IoGetCurrentIrpStackLocation(irp)->Parameters.NotifyDirectory.Length;
  PVOID output = notify->used != 0 && !notify->overflow && notify->used <= length ? OutputOf(irp) : nullptr;
  if (output != nullptr) {
    RtlCopyMemory(output, notify->buffer, notify->used);
    if (irp->AssociatedIrp.SystemBuffer == output) irp->Flags |= IRP_INPUT_OPERATION;
    guard->Finish(irp, STATUS_SUCCESS, notify->used);
  } else {
    guard->Finish(irp, STATUS_NOTIFY_ENUM_DIR, 0);
  }
  notify->used = 0;
  notify->overflow = false;
}

void Delete(Notify* notify) {
  RemoveEntryList(&notify->link);
  if (notify->buffer != nullptr) ExFreePoolWithTag(notify->buffer, 'onSF');
  ExFreePoolWithTag(notify, 'onSF');
}

// Requests whose cancel routine has begun still need the Notify's list head: they take themselves off it.
void FinishAll(NotifyGuard* guard, Notify* notify, NTSTATUS status) {
  while (PIRP irp = TakeRequest(notify)) guard->Finish(irp, status, 0);
  while (!IsListEmpty(&notify->requests)) {
    LIST_ENTRY* link = RemoveHeadList(&notify->requests);
    InitializeListHead(link);
  }
}

Notify* Find(PLIST_ENTRY list, PVOID context) {
  for (LIST_ENTRY* link = list->Flink; link != list; link = link->Flink) {
    auto* notify = CONTAINING_RECORD(link, Notify, link);
    if (notify->context == context) return notify;
  }
  return nullptr;
}

bool IsWide(const STRING* name) {
  return name->Length >= 2 && name->Buffer[1] == 0;
}

bool IsBackslash(const STRING* name, ULONG at) {
  return name->Buffer[at] == '\\' && (!IsWide(name) || name->Buffer[at + 1] == 0);
}

// Where the part of a target's name begins that a watcher of `directory` sees; false: it does not see it.
bool RelativeName(const Notify* notify, const STRING* target, USHORT name_offset, USHORT* begin) {
  const STRING* directory = notify->directory;
  if (directory == nullptr || directory->Length == 0) {
    *begin = 0;
    return true;
  }
  const USHORT unit = IsWide(target) ? sizeof(WCHAR) : 1;
  USHORT length = directory->Length;
  if (length >= unit && IsBackslash(directory, length - unit)) length = static_cast<USHORT>(length - unit);
  if (target->Length < length + 2 * unit || !IsBackslash(target, length) ||
      RtlCompareMemory(target->Buffer, directory->Buffer, length) != length)
    return false;
  *begin = static_cast<USHORT>(length + unit);
  return notify->watch_tree || *begin == name_offset;
}

// FILE_NOTIFY_INFORMATION of one change, behind the last.
void Remember(Notify* notify, ULONG action, const STRING* target, USHORT begin, const STRING* stream) {
  if (notify->ignore_buffer || notify->overflow || notify->capacity == 0) {
    notify->overflow = true;
    return;
  }
  // Nonpaged: the file system of the page file reports changes with its volume locked.
  if (notify->buffer == nullptr)
    notify->buffer = static_cast<PUCHAR>(ExAllocatePoolWithTag(NonPagedPoolNx, notify->capacity, 'onSF'));
  const ULONG scale = IsWide(target) ? 1 : sizeof(WCHAR);
  const ULONG name_bytes =
      (target->Length - begin) * scale + (stream != nullptr ? sizeof(WCHAR) + stream->Length * scale : 0);
  const ULONG at = (notify->used + 3) & ~3u;
  const ULONG size = FIELD_OFFSET(FILE_NOTIFY_INFORMATION, FileName) + name_bytes;
  if (notify->buffer == nullptr || size > notify->capacity || at > notify->capacity - size) {
    notify->overflow = true;
    return;
  }
  auto* entry = reinterpret_cast<PFILE_NOTIFY_INFORMATION>(notify->buffer + at);
  entry->NextEntryOffset = 0;
  entry->Action = action;
  entry->FileNameLength = name_bytes;
  PWCH out = entry->FileName;
  const auto append = [&](const STRING* text, USHORT from) {
    for (USHORT i = from; i < text->Length; i = static_cast<USHORT>(i + (scale == 1 ? 2 : 1)))
      *out++ = scale == 1 ? *reinterpret_cast<const WCHAR*>(text->Buffer + i)
                          : static_cast<UCHAR>(text->Buffer[i]);
  };
  append(target, begin);
  if (stream != nullptr) {
    *out++ = L':';
    append(stream, 0);
  }
  if (notify->used != 0)
    reinterpret_cast<PFILE_NOTIFY_INFORMATION>(notify->buffer + notify->last_entry)->NextEntryOffset =
        at - notify->last_entry;
  notify->last_entry = at;
  notify->used = at + size;
}

void Report(PNOTIFY_SYNC sync, PLIST_ENTRY list, PSTRING target, USHORT name_offset, PSTRING stream,
            PSTRING parent, ULONG filter, ULONG action, PVOID target_context, PVOID filter_context) {
  NotifyGuard guard(sync);
  for (LIST_ENTRY* link = list->Flink; link != list; link = link->Flink) {
    auto* notify = CONTAINING_RECORD(link, Notify, link);
    USHORT begin = 0;
    if (!(notify->filter & filter)) continue;
    // A normalized parent stands for the target's own when it is compared.
    if (!RelativeName(notify, target, name_offset, &begin)) {
      if (parent == nullptr || notify->directory == nullptr || parent->Length != notify->directory->Length ||
          RtlCompareMemory(parent->Buffer, notify->directory->Buffer, parent->Length) != parent->Length)
        continue;
      begin = name_offset;
    }
    const bool below = begin != name_offset;
    if (below && notify->traverse != nullptr &&
        !notify->traverse(notify->context, target_context, notify->subject))
      continue;
    if (notify->filter_callback != nullptr && !notify->filter_callback(notify->context, filter_context))
      continue;
    Remember(notify, action, target, begin, stream);
    if (action == FILE_ACTION_RENAMED_OLD_NAME) continue;  // told together with the new name
    if (PIRP irp = TakeRequest(notify); irp != nullptr) Answer(&guard, notify, irp);
  }
}

Notify* NewNotify(PIRP irp) {
  auto* notify = static_cast<Notify*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Notify), 'onSF'));
  if (notify == nullptr) return nullptr;
  RtlZeroMemory(notify, sizeof(*notify));
  InitializeListHead(&notify->requests);
  notify->capacity = IoGetCurrentIrpStackLocation(irp)->Parameters.NotifyDirectory.Length;
  return notify;
}

// A directory goes: who watches it is told, and so are those whose buffers wait.
void DirectoryGoes(NotifyGuard* guard, PLIST_ENTRY list, PVOID context) {
  Notify* notify = Find(list, context);
  if (notify != nullptr) FinishAll(guard, notify, STATUS_DELETE_PENDING);
}

void Watch(PNOTIFY_SYNC sync, PLIST_ENTRY list, PVOID context, PSTRING directory, BOOLEAN watch_tree,
           BOOLEAN ignore_buffer, ULONG filter, PIRP irp, PCHECK_FOR_TRAVERSE_ACCESS traverse,
           PSECURITY_SUBJECT_CONTEXT subject, PFILTER_REPORT_CHANGE filter_callback) {
  NotifyGuard guard(sync);
  if (irp == nullptr) return DirectoryGoes(&guard, list, context);
  const PFILE_OBJECT file = IoGetCurrentIrpStackLocation(irp)->FileObject;
  IoMarkIrpPending(irp);
  if (file != nullptr && (file->Flags & FO_CLEANUP_COMPLETE))
    return guard.Finish(irp, STATUS_NOTIFY_CLEANUP, 0);
  Notify* notify = Find(list, context);
  if (notify == nullptr) {
    notify = NewNotify(irp);
    if (notify == nullptr) return guard.Finish(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    notify->context = context;
    notify->directory = directory;
    notify->watch_tree = watch_tree;
    notify->ignore_buffer = ignore_buffer;
    notify->filter = filter;
    notify->traverse = traverse;
    notify->subject = subject;
    notify->filter_callback = filter_callback;
    InsertTailList(list, &notify->link);
  }
  if (notify->used != 0 || notify->overflow) return Answer(&guard, notify, irp);
  irp->Tail.Overlay.DriverContext[0] = guard.sync();
  InsertTailList(&notify->requests, &irp->Tail.Overlay.ListEntry);
  IoSetCancelRoutine(irp, CancelRequest);
  if (irp->Cancel && IoSetCancelRoutine(irp, nullptr) != nullptr) {
    RemoveEntryList(&irp->Tail.Overlay.ListEntry);
    guard.Finish(irp, STATUS_CANCELLED, 0);
  }
}

}  // namespace

/// Makes the lock of a volume's notification list; raises STATUS_INSUFFICIENT_RESOURCES.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlNotifyInitializeSync.
NT_EXPORT(FsRtlNotifyInitializeSync, nt::AtMost(APC_LEVEL), Full, "FsRtlNotify.*");
extern "C" VOID NTAPI FsRtlNotifyInitializeSync(PNOTIFY_SYNC* NotifySync) {
  auto* sync = static_cast<RealSync*>(fsrtl::AllocateOrRaise(NonPagedPoolNx, sizeof(RealSync), 'onSF'));
  ExInitializeFastMutex(&sync->mutex);
  *NotifySync = sync;
}

/// Frees it.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlNotifyUninitializeSync.
NT_EXPORT(FsRtlNotifyUninitializeSync, nt::AtMost(APC_LEVEL), Full, "FsRtlNotify.*");
extern "C" VOID NTAPI FsRtlNotifyUninitializeSync(PNOTIFY_SYNC* NotifySync) {
  if (*NotifySync != nullptr) ExFreePoolWithTag(*NotifySync, 'onSF');
  *NotifySync = nullptr;
}

/// Keeps an IRP_MN_NOTIFY_CHANGE_DIRECTORY until something changes below FullDirectoryName, or completes it
/// with the changes since the last one (STATUS_NOTIFY_ENUM_DIR where there were too many). Without an IRP the
/// directory is going: its watchers get STATUS_DELETE_PENDING.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlNotifyFullChangeDirectory.
NT_EXPORT(FsRtlNotifyFullChangeDirectory, nt::AtMost(PASSIVE_LEVEL), Full, "FsRtlNotify.*");
extern "C" VOID NTAPI FsRtlNotifyFullChangeDirectory(PNOTIFY_SYNC NotifySync, PLIST_ENTRY NotifyList,
                                                     PVOID FsContext, PSTRING FullDirectoryName,
                                                     BOOLEAN WatchTree, BOOLEAN IgnoreBuffer,
                                                     ULONG CompletionFilter, PIRP NotifyIrp,
                                                     PCHECK_FOR_TRAVERSE_ACCESS TraverseCallback,
                                                     PSECURITY_SUBJECT_CONTEXT SubjectContext) {
  Watch(NotifySync, NotifyList, FsContext, FullDirectoryName, WatchTree, IgnoreBuffer, CompletionFilter,
        NotifyIrp, TraverseCallback, SubjectContext, nullptr);
}

/// The same with a callback that is asked for every change.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlNotifyFilterChangeDirectory.
NT_EXPORT(FsRtlNotifyFilterChangeDirectory, nt::AtMost(PASSIVE_LEVEL), Full, "FsRtlNotify.*");
extern "C" VOID NTAPI FsRtlNotifyFilterChangeDirectory(PNOTIFY_SYNC NotifySync, PLIST_ENTRY NotifyList,
                                                       PVOID FsContext, PSTRING FullDirectoryName,
                                                       BOOLEAN WatchTree, BOOLEAN IgnoreBuffer,
                                                       ULONG CompletionFilter, PIRP NotifyIrp,
                                                       PCHECK_FOR_TRAVERSE_ACCESS TraverseCallback,
                                                       PSECURITY_SUBJECT_CONTEXT SubjectContext,
                                                       PFILTER_REPORT_CHANGE FilterCallback) {
  Watch(NotifySync, NotifyList, FsContext, FullDirectoryName, WatchTree, IgnoreBuffer, CompletionFilter,
        NotifyIrp, TraverseCallback, SubjectContext, FilterCallback);
}

/// Tells the watchers of a change: FullTargetName, whose last component begins at TargetNameOffset (bytes).
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlNotifyFullReportChange.
NT_EXPORT(FsRtlNotifyFullReportChange, nt::AtMost(PASSIVE_LEVEL), Full, "FsRtlNotify.*");
extern "C" VOID NTAPI FsRtlNotifyFullReportChange(PNOTIFY_SYNC NotifySync, PLIST_ENTRY NotifyList,
                                                  PSTRING FullTargetName, USHORT TargetNameOffset,
                                                  PSTRING StreamName, PSTRING NormalizedParentName,
                                                  ULONG FilterMatch, ULONG Action, PVOID TargetContext) {
  Report(NotifySync, NotifyList, FullTargetName, TargetNameOffset, StreamName, NormalizedParentName,
         FilterMatch, Action, TargetContext, nullptr);
}

/// The same with a context for the watchers' filter callbacks.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlNotifyFilterReportChange.
NT_EXPORT(FsRtlNotifyFilterReportChange, nt::AtMost(PASSIVE_LEVEL), Full, "FsRtlNotify.*");
extern "C" VOID NTAPI FsRtlNotifyFilterReportChange(PNOTIFY_SYNC NotifySync, PLIST_ENTRY NotifyList,
                                                    PSTRING FullTargetName, USHORT TargetNameOffset,
                                                    PSTRING StreamName, PSTRING NormalizedParentName,
                                                    ULONG FilterMatch, ULONG Action, PVOID TargetContext,
                                                    PVOID FilterContext) {
  Report(NotifySync, NotifyList, FullTargetName, TargetNameOffset, StreamName, NormalizedParentName,
         FilterMatch, Action, TargetContext, FilterContext);
}

/// A watcher's handle closes: its requests end with STATUS_NOTIFY_CLEANUP.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlNotifyCleanup.
NT_EXPORT(FsRtlNotifyCleanup, nt::AtMost(APC_LEVEL), Full, "FsRtlNotify.*");
extern "C" VOID NTAPI FsRtlNotifyCleanup(PNOTIFY_SYNC NotifySync, PLIST_ENTRY NotifyList, PVOID FsContext) {
  NotifyGuard guard(NotifySync);
  Notify* notify = Find(NotifyList, FsContext);
  if (notify == nullptr) return;
  FinishAll(&guard, notify, STATUS_NOTIFY_CLEANUP);
  Delete(notify);
}

/// The same for every watcher of a list.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlNotifyCleanupAll.
NT_EXPORT(FsRtlNotifyCleanupAll, nt::AtMost(APC_LEVEL), Full, "FsRtlNotify.*");
extern "C" VOID NTAPI FsRtlNotifyCleanupAll(PNOTIFY_SYNC NotifySync, PLIST_ENTRY NotifyList) {
  NotifyGuard guard(NotifySync);
  while (!IsListEmpty(NotifyList)) {
    auto* notify = CONTAINING_RECORD(NotifyList->Flink, Notify, link);
    FinishAll(&guard, notify, STATUS_NOTIFY_CLEANUP);
    Delete(notify);
  }
}
