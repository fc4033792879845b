// Opportunistic locks for file systems.
#include "oplock.h"

namespace {

using fsrtl::Holder;
using fsrtl::OplockKind;

NTSTATUS Granular(POPLOCK oplock, PIRP irp, ULONG open_count) {
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  const auto* input = static_cast<const REQUEST_OPLOCK_INPUT_BUFFER*>(irp->AssociatedIrp.SystemBuffer);
  const bool complete =
      input != nullptr && stack->Parameters.FileSystemControl.InputBufferLength >= sizeof(*input) &&
      stack->Parameters.FileSystemControl.OutputBufferLength >= sizeof(REQUEST_OPLOCK_OUTPUT_BUFFER);
  if (!complete || input->StructureVersion != REQUEST_OPLOCK_CURRENT_VERSION) {
    fsrtl::Complete(irp, complete ? STATUS_INVALID_PARAMETER : STATUS_BUFFER_TOO_SMALL);
    return complete ? STATUS_INVALID_PARAMETER : STATUS_BUFFER_TOO_SMALL;
  }
  const ULONG level = input->RequestedOplockLevel;
  if (input->Flags & REQUEST_OPLOCK_INPUT_FLAG_ACK) return fsrtl::Acknowledge(oplock, irp, true, level);
  constexpr ULONG kAll = fsrtl::kCacheRead | fsrtl::kCacheHandle | fsrtl::kCacheWrite;
  if (!(input->Flags & REQUEST_OPLOCK_INPUT_FLAG_REQUEST) || !(level & fsrtl::kCacheRead) ||
      (level & ~kAll)) {
    fsrtl::Complete(irp, STATUS_INVALID_PARAMETER);
    return STATUS_INVALID_PARAMETER;
  }
  return fsrtl::RequestOplock(oplock, irp, OplockKind::kGranular, level, open_count);
}

NTSTATUS FsControl(POPLOCK oplock, PIRP irp, ULONG open_count) {
  using fsrtl::kCacheHandle;
  using fsrtl::kCacheRead;
  using fsrtl::kCacheWrite;
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  switch (stack->Parameters.FileSystemControl.FsControlCode) {
    case FSCTL_REQUEST_OPLOCK_LEVEL_1:
      return fsrtl::RequestOplock(oplock, irp, OplockKind::kLevel1, kCacheRead | kCacheWrite, open_count);
    case FSCTL_REQUEST_OPLOCK_LEVEL_2:
      return fsrtl::RequestOplock(oplock, irp, OplockKind::kLevel2, kCacheRead, open_count);
    case FSCTL_REQUEST_BATCH_OPLOCK:
      return fsrtl::RequestOplock(oplock, irp, OplockKind::kBatch, kCacheRead | kCacheWrite | kCacheHandle,
                                  open_count);
    case FSCTL_REQUEST_FILTER_OPLOCK:
      return fsrtl::RequestOplock(oplock, irp, OplockKind::kFilter, kCacheRead | kCacheHandle, open_count);
    case FSCTL_REQUEST_OPLOCK:
      return Granular(oplock, irp, open_count);
    case FSCTL_OPLOCK_BREAK_ACKNOWLEDGE:
      return fsrtl::Acknowledge(oplock, irp, false, kCacheRead);
    case FSCTL_OPLOCK_BREAK_ACK_NO_2:
      return fsrtl::Acknowledge(oplock, irp, false, 0);
    case FSCTL_OPBATCH_ACK_CLOSE_PENDING:
      return fsrtl::ClosePending(oplock, irp);
    case FSCTL_OPLOCK_BREAK_NOTIFY:
      return fsrtl::NotifyOfBreak(oplock, irp);
    default:
      fsrtl::Complete(irp, STATUS_INVALID_PARAMETER);
      return STATUS_INVALID_PARAMETER;
  }
}

// IRP_MJ_CLEANUP is the end of the handle's oplock, and breaks nobody else's.
NTSTATUS Check(POPLOCK oplock, PIRP irp, ULONG flags, PVOID context, POPLOCK_WAIT_COMPLETE_ROUTINE completion,
               POPLOCK_FS_PREPOST_IRP prepost, fsrtl::Decision decide) {
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  if (stack->MajorFunction == IRP_MJ_CLEANUP) {
    fsrtl::HolderCloses(oplock, stack->FileObject);
    return STATUS_SUCCESS;
  }
  return fsrtl::CheckOplock(oplock, irp, flags, context, completion, prepost, decide);
}

}  // namespace

/// Makes a stream's oplock empty.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlInitializeOplock.
NT_EXPORT(FsRtlInitializeOplock, nt::AtMost(APC_LEVEL), Full, "FsRtlOplock.*");
extern "C" VOID NTAPI FsRtlInitializeOplock(POPLOCK Oplock) {
  *Oplock = nullptr;
}

/// Frees it; requests that pend are completed as broken to none, and who waits goes on.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlUninitializeOplock.
NT_EXPORT(FsRtlUninitializeOplock, nt::AtMost(APC_LEVEL), Full, "FsRtlOplock.*");
extern "C" VOID NTAPI FsRtlUninitializeOplock(POPLOCK Oplock) {
  fsrtl::DeleteOplock(Oplock);
}

/// Serves the control codes of oplocks, and completes the IRP unless it pends as a granted oplock: requests
/// (OpenCount: handles of the stream; for shared oplocks nonzero where byte ranges are locked),
/// acknowledgments, FSCTL_OPLOCK_BREAK_NOTIFY.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: a file object's oplock key is the file object itself.
/// Source: WDK ntifs/FsRtlOplockFsctrl.
NT_EXPORT(FsRtlOplockFsctrl, nt::AtMost(APC_LEVEL), Partial, "FsRtlOplock.*");
extern "C" NTSTATUS NTAPI FsRtlOplockFsctrl(POPLOCK Oplock, PIRP Irp, ULONG OpenCount) {
  return FsControl(Oplock, Irp, OpenCount);
}

/// The same with flags.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: OPLOCK_FSCTRL_FLAG_ALL_KEYS_MATCH is ignored: see FsRtlOplockFsctrl.
/// Source: WDK ntifs/FsRtlOplockFsctrlEx.
NT_EXPORT(FsRtlOplockFsctrlEx, nt::AtMost(APC_LEVEL), Partial, "FsRtlOplock.*");
extern "C" NTSTATUS NTAPI FsRtlOplockFsctrlEx(POPLOCK Oplock, PIRP Irp, ULONG OpenCount, ULONG) {
  return FsControl(Oplock, Irp, OpenCount);
}

/// Breaks what an operation breaks. STATUS_SUCCESS: it may go on, perhaps after a wait here; with a
/// completion routine STATUS_PENDING, and the routine is called when it may go on (or was cancelled: see
/// IoStatus).
/// IRQL: <= APC_LEVEL.
/// Differs from NT: see FsRtlOplockFsctrl.
/// Source: WDK ntifs/FsRtlCheckOplock.
NT_EXPORT(FsRtlCheckOplock, nt::AtMost(APC_LEVEL), Partial, "FsRtlOplock.*");
extern "C" NTSTATUS NTAPI FsRtlCheckOplock(POPLOCK Oplock, PIRP Irp, PVOID Context,
                                           POPLOCK_WAIT_COMPLETE_ROUTINE CompletionRoutine,
                                           POPLOCK_FS_PREPOST_IRP PostIrpRoutine) {
  return Check(Oplock, Irp, 0, Context, CompletionRoutine, PostIrpRoutine, fsrtl::BreakFor);
}

/// The same with flags; OPLOCK_FLAG_COMPLETE_IF_OPLOCKED: STATUS_OPLOCK_BREAK_IN_PROGRESS instead of a wait.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: the flags of keys and of atomic oplock requests are ignored.
/// Source: WDK ntifs/FsRtlCheckOplockEx.
NT_EXPORT(FsRtlCheckOplockEx, nt::AtMost(APC_LEVEL), Partial, "FsRtlOplock.*");
extern "C" NTSTATUS NTAPI FsRtlCheckOplockEx(POPLOCK Oplock, PIRP Irp, ULONG Flags, PVOID Context,
                                             POPLOCK_WAIT_COMPLETE_ROUTINE CompletionRoutine,
                                             POPLOCK_FS_PREPOST_IRP PostIrpRoutine) {
  return Check(Oplock, Irp, Flags, Context, CompletionRoutine, PostIrpRoutine, fsrtl::BreakFor);
}

/// Breaks the right to keep handles open (a sharing violation was met).
/// IRQL: <= APC_LEVEL.
/// Differs from NT: see FsRtlOplockFsctrl.
/// Source: WDK ntifs/FsRtlOplockBreakH.
NT_EXPORT(FsRtlOplockBreakH, nt::AtMost(APC_LEVEL), Partial, "FsRtlOplock.*");
extern "C" NTSTATUS NTAPI FsRtlOplockBreakH(POPLOCK Oplock, PIRP Irp, ULONG Flags, PVOID Context,
                                            POPLOCK_WAIT_COMPLETE_ROUTINE CompletionRoutine,
                                            POPLOCK_FS_PREPOST_IRP PostIrpRoutine) {
  return fsrtl::CheckOplock(Oplock, Irp, Flags, Context, CompletionRoutine, PostIrpRoutine,
                            fsrtl::BreakHandle);
}

/// Breaks all oplocks of other handles to none.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: see FsRtlOplockFsctrl.
/// Source: WDK ntifs/FsRtlOplockBreakToNone.
NT_EXPORT(FsRtlOplockBreakToNone, nt::AtMost(APC_LEVEL), Partial, "FsRtlOplock.*");
extern "C" NTSTATUS NTAPI FsRtlOplockBreakToNone(POPLOCK Oplock, PIO_STACK_LOCATION, PIRP Irp, PVOID Context,
                                                 POPLOCK_WAIT_COMPLETE_ROUTINE CompletionRoutine,
                                                 POPLOCK_FS_PREPOST_IRP PostIrpRoutine) {
  return fsrtl::CheckOplock(Oplock, Irp, 0, Context, CompletionRoutine, PostIrpRoutine, fsrtl::BreakAll);
}

/// Whether a fast I/O routine may serve the stream: nobody has it exclusively.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlOplockIsFastIoPossible.
NT_EXPORT(FsRtlOplockIsFastIoPossible, nt::AtMost(APC_LEVEL), Full, "FsRtlOplock.*");
extern "C" BOOLEAN NTAPI FsRtlOplockIsFastIoPossible(POPLOCK Oplock) {
  return !fsrtl::AnyHolder(Oplock,
                           [](const Holder& holder) { return holder.Exclusive() || holder.breaking; });
}

/// Whether there is an oplock at all.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlCurrentOplock.
NT_EXPORT(FsRtlCurrentOplock, nt::AtMost(APC_LEVEL), Full, "FsRtlOplock.*");
extern "C" BOOLEAN NTAPI FsRtlCurrentOplock(POPLOCK Oplock) {
  return fsrtl::AnyHolder(Oplock, [](const Holder&) { return true; });
}

/// Whether a batch or filter oplock is held: it breaks before the share access is checked.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlCurrentBatchOplock.
NT_EXPORT(FsRtlCurrentBatchOplock, nt::AtMost(APC_LEVEL), Full, "FsRtlOplock.*");
extern "C" BOOLEAN NTAPI FsRtlCurrentBatchOplock(POPLOCK Oplock) {
  return fsrtl::AnyHolder(Oplock, [](const Holder& holder) {
    return holder.kind == OplockKind::kBatch || holder.kind == OplockKind::kFilter;
  });
}

/// Whether somebody may keep handles open (OPLOCK_LEVEL_CACHE_HANDLE).
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlCurrentOplockH.
NT_EXPORT(FsRtlCurrentOplockH, nt::AtMost(APC_LEVEL), Full, "FsRtlOplock.*");
extern "C" BOOLEAN NTAPI FsRtlCurrentOplockH(POPLOCK Oplock) {
  return fsrtl::AnyHolder(Oplock, [](const Holder& holder) {
    return holder.kind == OplockKind::kGranular && (holder.level & fsrtl::kCacheHandle) != 0;
  });
}

/// Whether an IRP asks for an oplock that several may hold: level 2, read, read-handle.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlOplockIsSharedRequest.
NT_EXPORT(FsRtlOplockIsSharedRequest, nt::AtMost(APC_LEVEL), Full, "FsRtlOplock.*");
extern "C" BOOLEAN NTAPI FsRtlOplockIsSharedRequest(PIRP Irp) {
  const ULONG code = IoGetCurrentIrpStackLocation(Irp)->Parameters.FileSystemControl.FsControlCode;
  if (code == FSCTL_REQUEST_OPLOCK_LEVEL_2) return TRUE;
  const auto* input = static_cast<const REQUEST_OPLOCK_INPUT_BUFFER*>(Irp->AssociatedIrp.SystemBuffer);
  return code == FSCTL_REQUEST_OPLOCK && input != nullptr &&
         (input->Flags & REQUEST_OPLOCK_INPUT_FLAG_REQUEST) != 0 &&
         !(input->RequestedOplockLevel & fsrtl::kCacheWrite);
}
