// Which operation breaks which oplock, to what, and who waits. Source: the WDK's "Checking the oplock state
// of an IRP_MJ_..." pages.
#include "oplock.h"

namespace fsrtl {
namespace {

constexpr Break Waits(ULONG to) {
  return {true, to, true, true};
}

// Somebody else reads what the holder may have changed: it keeps all but the right to write.
Break OnRead(const Holder& holder) {
  return (holder.level & kCacheWrite)
             ? Waits(holder.kind == OplockKind::kGranular ? holder.level & ~kCacheWrite : kCacheRead)
             : kNoBreak;
}

// Somebody else changes the data: nobody may cache it any more.
Break OnChange(const Holder& holder) {
  if (holder.Exclusive()) return Waits(0);
  return {true, 0, (holder.level & kCacheHandle) != 0, false};
}

// The name or the handle of the stream is wanted.
Break OnHandle(const Holder& holder) {
  if (!(holder.level & kCacheHandle)) return kNoBreak;
  switch (holder.kind) {
    case OplockKind::kFilter:
      return Waits(0);
    case OplockKind::kBatch:
      return Waits(kCacheRead);
    default:
      return Waits(holder.level & ~kCacheHandle);
  }
}

Break OnCreate(const Holder& holder, PIO_STACK_LOCATION stack) {
  constexpr ACCESS_MASK kAttributes = FILE_READ_ATTRIBUTES | FILE_WRITE_ATTRIBUTES | SYNCHRONIZE;
  constexpr ACCESS_MASK kReading =
      FILE_READ_ATTRIBUTES | FILE_READ_DATA | FILE_READ_EA | FILE_EXECUTE | SYNCHRONIZE | READ_CONTROL;
  const ULONG options = stack->Parameters.Create.Options;
  const ULONG disposition = options >> 24;
  const ACCESS_MASK access = stack->Parameters.Create.SecurityContext->DesiredAccess;
  const bool reserves = (options & FILE_RESERVE_OPFILTER) != 0;
  if (!(access & ~kAttributes) && !reserves) return kNoBreak;
  const bool replaces = reserves || disposition == FILE_SUPERSEDE || disposition == FILE_OVERWRITE ||
                        disposition == FILE_OVERWRITE_IF;
  if (replaces) return OnChange(holder);
  if (holder.kind == OplockKind::kFilter) return (access & ~kReading) ? Waits(0) : kNoBreak;
  return OnRead(holder);
}

Break OnSetInformation(const Holder& holder, FILE_INFORMATION_CLASS kind) {
  switch (static_cast<int>(kind)) {
    case FileEndOfFileInformation:
    case FileAllocationInformation:
    case FileValidDataLengthInformation:
      return OnChange(holder);
    case FileRenameInformation:
    case FileRenameInformationEx:
    case FileLinkInformation:
    case FileShortNameInformation:
    case FileDispositionInformation:
    case FileDispositionInformationEx:
      return OnHandle(holder);
    default:
      return kNoBreak;
  }
}

}  // namespace

Break BreakFor(const Holder& holder, PIRP irp) {
  PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  if (irp->Flags & IRP_PAGING_IO) return kNoBreak;
  const bool own = holder.file == stack->FileObject;
  switch (stack->MajorFunction) {
    case IRP_MJ_WRITE:
    case IRP_MJ_LOCK_CONTROL:
      // Level 2 says nothing of who writes.
      return own && holder.kind != OplockKind::kLevel2 ? kNoBreak : OnChange(holder);
    case IRP_MJ_SET_INFORMATION:
      if (own && holder.kind != OplockKind::kLevel2) return kNoBreak;
      return OnSetInformation(holder, stack->Parameters.SetFile.FileInformationClass);
    case IRP_MJ_FILE_SYSTEM_CONTROL:
      return !own && stack->Parameters.FileSystemControl.FsControlCode == FSCTL_SET_ZERO_DATA
                 ? OnChange(holder)
                 : kNoBreak;
    case IRP_MJ_CREATE:
      return own ? kNoBreak : OnCreate(holder, stack);
    case IRP_MJ_READ:
    case IRP_MJ_FLUSH_BUFFERS:
      return own ? kNoBreak : OnRead(holder);
    default:
      return kNoBreak;
  }
}

Break BreakHandle(const Holder& holder, PIRP irp) {
  const bool own = holder.file == IoGetCurrentIrpStackLocation(irp)->FileObject;
  return own || holder.kind != OplockKind::kGranular ? kNoBreak : OnHandle(holder);
}

Break BreakAll(const Holder& holder, PIRP irp) {
  const bool own = holder.file == IoGetCurrentIrpStackLocation(irp)->FileObject;
  return own && holder.kind != OplockKind::kLevel2 ? kNoBreak : OnChange(holder);
}

}  // namespace fsrtl
