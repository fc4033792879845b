// Byte-range locks and directory change notification: services over IRP_MJ_LOCK_CONTROL and
// IRP_MN_NOTIFY_CHANGE_DIRECTORY.
#include "io_internal.h"
#include "ke/service_call.h"
#include "nt/export.h"
#include "user_mode.h"

namespace {

struct Range {
  LARGE_INTEGER offset;
  LARGE_INTEGER length;
};

NTSTATUS CaptureRange(const LARGE_INTEGER* offset, const LARGE_INTEGER* length, Range* range) {
  NTSTATUS status = io::CopyFromCaller(&range->offset, offset, sizeof(LARGE_INTEGER));
  if (NT_SUCCESS(status)) status = io::CopyFromCaller(&range->length, length, sizeof(LARGE_INTEGER));
  if (NT_SUCCESS(status) && range->offset.QuadPart < 0) status = STATUS_INVALID_PARAMETER;
  return status;
}

// The length travels in the IRP's system buffer, which goes with it.
NTSTATUS FillLock(io::FileService* service, PIO_STACK_LOCATION stack, UCHAR minor, UCHAR flags,
                  const Range& range, ULONG key) {
  auto* length =
      static_cast<PLARGE_INTEGER>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(LARGE_INTEGER), kBufferTag));
  if (length == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  *length = range.length;
  service->irp->AssociatedIrp.SystemBuffer = length;
  service->irp->Flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER;
  stack->MinorFunction = minor;
  stack->Flags = flags;
  stack->Parameters.LockControl.Length = length;
  stack->Parameters.LockControl.Key = key;
  stack->Parameters.LockControl.ByteOffset = range.offset;
  return STATUS_SUCCESS;
}

NTSTATUS LockControl(HANDLE handle, HANDLE event, PIO_APC_ROUTINE apc, PVOID apc_context,
                     PIO_STATUS_BLOCK iosb, UCHAR minor, UCHAR flags, const Range& range, ULONG key) {
  io::FileService service;
  NTSTATUS status = io::BeginService(handle, event, &service);
  if (!NT_SUCCESS(status) || service.irp == nullptr) return status;
  PIO_STACK_LOCATION stack = io::PrepareIrp(&service, iosb, apc, apc_context, IRP_MJ_LOCK_CONTROL);
  status = (service.granted & (FILE_READ_DATA | FILE_WRITE_DATA)) ? STATUS_SUCCESS : STATUS_ACCESS_DENIED;
  if (NT_SUCCESS(status)) status = FillLock(&service, stack, minor, flags, range, key);
  return io::FinishService(&service, status);
}

}  // namespace

/// Locks a byte range of a file; see ZwLockFile.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/NtLockFile.
NT_EXPORT(NtLockFile, nt::AtMost(PASSIVE_LEVEL), Full, "IoLocks.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtLockFile(HANDLE FileHandle, HANDLE Event,
                                                       PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                                                       PIO_STATUS_BLOCK IoStatusBlock,
                                                       PLARGE_INTEGER ByteOffset, PLARGE_INTEGER Length,
                                                       ULONG Key, BOOLEAN FailImmediately,
                                                       BOOLEAN ExclusiveLock) {
  Range range;
  const NTSTATUS status = CaptureRange(ByteOffset, Length, &range);
  if (!NT_SUCCESS(status)) return status;
  const auto flags = static_cast<UCHAR>((FailImmediately ? SL_FAIL_IMMEDIATELY : 0) |
                                        (ExclusiveLock ? SL_EXCLUSIVE_LOCK : 0));
  return LockControl(FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock, IRP_MN_LOCK, flags, range,
                     Key);
}

/// Locks a byte range of a file, shared or exclusive; waits for it, or fails with STATUS_LOCK_NOT_GRANTED.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ZwLockFile.
NT_EXPORT(ZwLockFile, nt::AtMost(PASSIVE_LEVEL), Full, "IoLocks.*");
extern "C" NTSTATUS NTAPI ZwLockFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine,
                                     PVOID ApcContext, PIO_STATUS_BLOCK IoStatusBlock,
                                     PLARGE_INTEGER ByteOffset, PLARGE_INTEGER Length, ULONG Key,
                                     BOOLEAN FailImmediately, BOOLEAN ExclusiveLock) {
  return ke::CallService(NtLockFile, FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock, ByteOffset,
                         Length, Key, FailImmediately, ExclusiveLock);
}

/// Unlocks a byte range of a file; see ZwUnlockFile.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/NtUnlockFile.
NT_EXPORT(NtUnlockFile, nt::AtMost(PASSIVE_LEVEL), Full, "IoLocks.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtUnlockFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock,
                                                         PLARGE_INTEGER ByteOffset, PLARGE_INTEGER Length,
                                                         ULONG Key) {
  Range range;
  const NTSTATUS status = CaptureRange(ByteOffset, Length, &range);
  if (!NT_SUCCESS(status)) return status;
  return LockControl(FileHandle, nullptr, nullptr, nullptr, IoStatusBlock, IRP_MN_UNLOCK_SINGLE, 0, range,
                     Key);
}

/// Unlocks a byte range that was locked so. STATUS_RANGE_NOT_LOCKED.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ZwUnlockFile.
NT_EXPORT(ZwUnlockFile, nt::AtMost(PASSIVE_LEVEL), Full, "IoLocks.*");
extern "C" NTSTATUS NTAPI ZwUnlockFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock,
                                       PLARGE_INTEGER ByteOffset, PLARGE_INTEGER Length, ULONG Key) {
  return ke::CallService(NtUnlockFile, FileHandle, IoStatusBlock, ByteOffset, Length, Key);
}

/// Waits for a change below a directory: completed with FILE_NOTIFY_INFORMATION of what changed.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/NtNotifyChangeDirectoryFile.
NT_EXPORT(NtNotifyChangeDirectoryFile, nt::AtMost(PASSIVE_LEVEL), Full, "IoLocks.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtNotifyChangeDirectoryFile(
    HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
    PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer, ULONG Length, ULONG CompletionFilter, BOOLEAN WatchTree) {
  if (CompletionFilter == 0 || (CompletionFilter & ~FILE_NOTIFY_VALID_MASK)) return STATUS_INVALID_PARAMETER;
  if (Length != 0) {
    const NTSTATUS probed = io::ProbeCallerWrite(Buffer, Length, sizeof(ULONG));
    if (!NT_SUCCESS(probed)) return probed;
  }
  io::FileService service;
  NTSTATUS status = io::BeginService(FileHandle, Event, &service);
  if (!NT_SUCCESS(status) || service.irp == nullptr) return status;
  PIO_STACK_LOCATION stack =
      io::PrepareIrp(&service, IoStatusBlock, ApcRoutine, ApcContext, IRP_MJ_DIRECTORY_CONTROL);
  PIRP irp = service.irp;
  status = (service.granted & FILE_LIST_DIRECTORY) ? STATUS_SUCCESS : STATUS_ACCESS_DENIED;
  if (NT_SUCCESS(status) && Length != 0) {
    // The change comes in another thread: by way of a system buffer.
    irp->AssociatedIrp.SystemBuffer = ExAllocatePoolWithTag(NonPagedPoolNx, Length, kBufferTag);
    if (irp->AssociatedIrp.SystemBuffer == nullptr) status = STATUS_INSUFFICIENT_RESOURCES;
  }
  if (!NT_SUCCESS(status)) {
    io::AbandonService(&service);
    return status;
  }
  if (Length != 0) irp->Flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER | IRP_INPUT_OPERATION;
  irp->UserBuffer = Buffer;
  stack->MinorFunction = IRP_MN_NOTIFY_CHANGE_DIRECTORY;
  stack->Flags = WatchTree ? SL_WATCH_TREE : 0;
  stack->Parameters.NotifyDirectory.Length = Length;
  stack->Parameters.NotifyDirectory.CompletionFilter = CompletionFilter;
  return io::FinishService(&service, STATUS_SUCCESS);
}
