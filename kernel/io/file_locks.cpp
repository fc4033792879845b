// Byte-range locks: services over IRP_MJ_LOCK_CONTROL.
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
  io::AttachInput(service, length);
  stack->MinorFunction = minor;
  stack->Flags = flags;
  stack->Parameters.LockControl.Length = length;
  stack->Parameters.LockControl.Key = key;
  stack->Parameters.LockControl.ByteOffset = range.offset;
  return STATUS_SUCCESS;
}

NTSTATUS LockControl(HANDLE handle, HANDLE event, PIO_APC_ROUTINE apc, PVOID apc_context,
                     PIO_STATUS_BLOCK iosb, UCHAR minor, UCHAR flags, const Range& range, ULONG key) {
  NTSTATUS status = io::ProbeCallerWrite(iosb, sizeof(*iosb), sizeof(ULONG));
  if (!NT_SUCCESS(status)) return status;
  io::FileService service;
  status = io::BeginService(handle, event, &service);
  if (status != STATUS_SUCCESS) return status;
  if (!(service.granted & (FILE_READ_DATA | FILE_WRITE_DATA)))
    return io::AbandonService(&service, STATUS_ACCESS_DENIED);
  PIO_STACK_LOCATION stack = io::PrepareIrp(&service, iosb, apc, apc_context, IRP_MJ_LOCK_CONTROL);
  status =
      stack != nullptr ? FillLock(&service, stack, minor, flags, range, key) : STATUS_INSUFFICIENT_RESOURCES;
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
