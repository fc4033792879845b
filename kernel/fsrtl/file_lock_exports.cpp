// Byte-range locks for file systems.
#include "file_lock.h"

namespace {

FILE_LOCK_INFO Request(PFILE_OBJECT file, PLARGE_INTEGER offset, PLARGE_INTEGER length, PVOID process,
                       ULONG key, BOOLEAN exclusive) {
  FILE_LOCK_INFO info = {};
  info.StartingByte = *offset;
  info.Length = *length;
  info.ExclusiveLock = exclusive;
  info.Key = key;
  info.FileObject = file;
  info.ProcessId = process;
  info.EndingByte.QuadPart = offset->QuadPart + length->QuadPart - 1;
  return info;
}

BOOLEAN Allowed(PFILE_LOCK lock, PLARGE_INTEGER offset, ULONGLONG length, const fsrtl::LockOwner& owner,
                bool write) {
  fsrtl::LockTable* table = fsrtl::TableOf(lock);
  if (table == nullptr) return TRUE;
  fsrtl::LockRange range;
  fsrtl::LockRange::Make(offset->QuadPart, static_cast<LONGLONG>(length), &range);
  ke::SpinGuard guard(&table->lock);
  return !fsrtl::AccessDeniedLocked(table, owner, range, write);
}

BOOLEAN IrpAllowed(PFILE_LOCK lock, PIRP irp, bool write) {
  PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  return Allowed(lock, &stack->Parameters.Read.ByteOffset, stack->Parameters.Read.Length,
                 {stack->FileObject, IoGetRequestorProcess(irp), stack->Parameters.Read.Key}, write);
}

NTSTATUS Process(PFILE_LOCK lock, PIRP irp, PVOID context) {
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  PEPROCESS process = IoGetRequestorProcess(irp);
  const ULONG key = stack->Parameters.LockControl.Key;
  switch (stack->MinorFunction) {
    case IRP_MN_LOCK:
      return fsrtl::RequestLock(lock,
                                Request(stack->FileObject, &stack->Parameters.LockControl.ByteOffset,
                                        stack->Parameters.LockControl.Length, process, key,
                                        (stack->Flags & SL_EXCLUSIVE_LOCK) != 0),
                                (stack->Flags & SL_FAIL_IMMEDIATELY) != 0, irp, context);
    case IRP_MN_UNLOCK_SINGLE:
      return fsrtl::ReleaseOne(lock,
                               Request(stack->FileObject, &stack->Parameters.LockControl.ByteOffset,
                                       stack->Parameters.LockControl.Length, process, key, FALSE),
                               context);
    case IRP_MN_UNLOCK_ALL:
      return fsrtl::ReleaseAll(lock, stack->FileObject, process, nullptr, context);
    case IRP_MN_UNLOCK_ALL_BY_KEY:
      return fsrtl::ReleaseAll(lock, stack->FileObject, process, &key, context);
    default:
      return STATUS_INVALID_DEVICE_REQUEST;
  }
}

}  // namespace

/// A FILE_LOCK from nonpaged pool, initialized; 0 without memory.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlAllocateFileLock.
NT_EXPORT(FsRtlAllocateFileLock, nt::AtMost(APC_LEVEL), Full, "FsRtlFileLock.*");
extern "C" PFILE_LOCK NTAPI FsRtlAllocateFileLock(PCOMPLETE_LOCK_IRP_ROUTINE CompleteLockIrpRoutine,
                                                  PUNLOCK_ROUTINE UnlockRoutine) {
  auto* lock = static_cast<PFILE_LOCK>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(FILE_LOCK), 'klFF'));
  if (lock != nullptr) FsRtlInitializeFileLock(lock, CompleteLockIrpRoutine, UnlockRoutine);
  return lock;
}

/// Frees a lock of FsRtlAllocateFileLock with all that is in it.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlFreeFileLock.
NT_EXPORT(FsRtlFreeFileLock, nt::AtMost(APC_LEVEL), Full, "FsRtlFileLock.*");
extern "C" VOID NTAPI FsRtlFreeFileLock(PFILE_LOCK FileLock) {
  FsRtlUninitializeFileLock(FileLock);
  ExFreePoolWithTag(FileLock, 'klFF');
}

/// Makes an empty FILE_LOCK. The routines are called when a lock request is completed (else it goes to
/// IoCompleteRequest) and for each lock that goes.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlInitializeFileLock.
NT_EXPORT(FsRtlInitializeFileLock, nt::AtMost(APC_LEVEL), Full, "FsRtlFileLock.*");
extern "C" VOID NTAPI FsRtlInitializeFileLock(PFILE_LOCK FileLock,
                                              PCOMPLETE_LOCK_IRP_ROUTINE CompleteLockIrpRoutine,
                                              PUNLOCK_ROUTINE UnlockRoutine) {
  RtlZeroMemory(FileLock, sizeof(*FileLock));
  FileLock->CompleteLockIrpRoutine = CompleteLockIrpRoutine;
  FileLock->UnlockRoutine = UnlockRoutine;
}

/// Frees what a FILE_LOCK holds; requests that wait are completed with STATUS_RANGE_NOT_LOCKED.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlUninitializeFileLock.
NT_EXPORT(FsRtlUninitializeFileLock, nt::AtMost(APC_LEVEL), Full, "FsRtlFileLock.*");
extern "C" VOID NTAPI FsRtlUninitializeFileLock(PFILE_LOCK FileLock) {
  fsrtl::DeleteTable(FileLock);
}

/// Serves an IRP_MJ_LOCK_CONTROL and completes it, or keeps it until the range is free (STATUS_PENDING).
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlProcessFileLock.
NT_EXPORT(FsRtlProcessFileLock, nt::AtMost(APC_LEVEL), Full, "FsRtlFileLock.*");
extern "C" NTSTATUS NTAPI FsRtlProcessFileLock(PFILE_LOCK FileLock, PIRP Irp, PVOID Context) {
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(Irp);
  const bool locks = stack->MinorFunction == IRP_MN_LOCK;
  FILE_LOCK_INFO info = {};
  if (locks)
    info = Request(stack->FileObject, &stack->Parameters.LockControl.ByteOffset,
                   stack->Parameters.LockControl.Length, IoGetRequestorProcess(Irp),
                   stack->Parameters.LockControl.Key, (stack->Flags & SL_EXCLUSIVE_LOCK) != 0);
  const NTSTATUS status = Process(FileLock, Irp, Context);
  if (status == STATUS_PENDING) return status;
  const NTSTATUS completed = fsrtl::CompleteLockIrp(FileLock, Context, Irp, status);
  // The file system refuses a lock that was granted: it goes again.
  if (locks && NT_SUCCESS(status) && !NT_SUCCESS(completed)) fsrtl::ReleaseOne(FileLock, info, Context);
  return completed;
}

/// Whether the reader of an IRP_MJ_READ may read its range.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlCheckLockForReadAccess.
NT_EXPORT(FsRtlCheckLockForReadAccess, nt::AtMost(APC_LEVEL), Full, "FsRtlFileLock.*");
extern "C" BOOLEAN NTAPI FsRtlCheckLockForReadAccess(PFILE_LOCK FileLock, PIRP Irp) {
  return IrpAllowed(FileLock, Irp, false);
}

/// Whether the writer of an IRP_MJ_WRITE may write its range.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlCheckLockForWriteAccess.
NT_EXPORT(FsRtlCheckLockForWriteAccess, nt::AtMost(APC_LEVEL), Full, "FsRtlFileLock.*");
extern "C" BOOLEAN NTAPI FsRtlCheckLockForWriteAccess(PFILE_LOCK FileLock, PIRP Irp) {
  return IrpAllowed(FileLock, Irp, true);
}

/// Whether an owner may read a range.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlFastCheckLockForRead.
NT_EXPORT(FsRtlFastCheckLockForRead, nt::AtMost(APC_LEVEL), Full, "FsRtlFileLock.*");
extern "C" BOOLEAN NTAPI FsRtlFastCheckLockForRead(PFILE_LOCK FileLock, PLARGE_INTEGER StartingByte,
                                                   PLARGE_INTEGER Length, ULONG Key, PFILE_OBJECT FileObject,
                                                   PVOID ProcessId) {
  return Allowed(FileLock, StartingByte, static_cast<ULONGLONG>(Length->QuadPart),
                 {FileObject, ProcessId, Key}, false);
}

/// Whether an owner may write a range.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlFastCheckLockForWrite.
NT_EXPORT(FsRtlFastCheckLockForWrite, nt::AtMost(APC_LEVEL), Full, "FsRtlFileLock.*");
extern "C" BOOLEAN NTAPI FsRtlFastCheckLockForWrite(PFILE_LOCK FileLock, PLARGE_INTEGER StartingByte,
                                                    PLARGE_INTEGER Length, ULONG Key, PFILE_OBJECT FileObject,
                                                    PVOID ProcessId) {
  return Allowed(FileLock, StartingByte, static_cast<ULONGLONG>(Length->QuadPart),
                 {FileObject, ProcessId, Key}, true);
}

/// The locks one after the other, a copy of each in FILE_LOCK.LastReturnedLockInfo; 0 behind the last. The
/// caller serializes the calls.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlGetNextFileLock.
NT_EXPORT(FsRtlGetNextFileLock, nt::AtMost(APC_LEVEL), Full, "FsRtlFileLock.*");
extern "C" PFILE_LOCK_INFO NTAPI FsRtlGetNextFileLock(PFILE_LOCK FileLock, BOOLEAN Restart) {
  fsrtl::LockTable* table = fsrtl::TableOf(FileLock);
  if (table == nullptr) return nullptr;
  ke::SpinGuard guard(&table->lock);
  LIST_ENTRY* next = table->granted.Flink;
  if (!Restart && FileLock->LastReturnedLock != nullptr) {
    // The lock that was returned last may be gone: then the walk is over.
    while (next != &table->granted &&
           CONTAINING_RECORD(next, fsrtl::Lock, link) != FileLock->LastReturnedLock)
      next = next->Flink;
    if (next != &table->granted) next = next->Flink;
  }
  if (next == &table->granted) {
    FileLock->LastReturnedLock = nullptr;
    return nullptr;
  }
  auto* lock = CONTAINING_RECORD(next, fsrtl::Lock, link);
  FileLock->LastReturnedLock = lock;
  FileLock->LastReturnedLockInfo = lock->info;
  return &FileLock->LastReturnedLockInfo;
}

/// Releases one lock, named by its exact range and owner. STATUS_RANGE_NOT_LOCKED.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlFastUnlockSingle.
NT_EXPORT(FsRtlFastUnlockSingle, nt::AtMost(APC_LEVEL), Full, "FsRtlFileLock.*");
extern "C" NTSTATUS NTAPI FsRtlFastUnlockSingle(PFILE_LOCK FileLock, PFILE_OBJECT FileObject,
                                                PLARGE_INTEGER FileOffset, PLARGE_INTEGER Length,
                                                PEPROCESS Process, ULONG Key, PVOID Context, BOOLEAN) {
  return fsrtl::ReleaseOne(FileLock, Request(FileObject, FileOffset, Length, Process, Key, FALSE), Context);
}

/// Releases all locks of a file object and process. STATUS_RANGE_NOT_LOCKED: it had none.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlFastUnlockAll.
NT_EXPORT(FsRtlFastUnlockAll, nt::AtMost(APC_LEVEL), Full, "FsRtlFileLock.*");
extern "C" NTSTATUS NTAPI FsRtlFastUnlockAll(PFILE_LOCK FileLock, PFILE_OBJECT FileObject, PEPROCESS Process,
                                             PVOID Context) {
  return fsrtl::ReleaseAll(FileLock, FileObject, Process, nullptr, Context);
}

/// Releases those of them that have a key.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlFastUnlockAllByKey.
NT_EXPORT(FsRtlFastUnlockAllByKey, nt::AtMost(APC_LEVEL), Full, "FsRtlFileLock.*");
extern "C" NTSTATUS NTAPI FsRtlFastUnlockAllByKey(PFILE_LOCK FileLock, PFILE_OBJECT FileObject,
                                                  PEPROCESS Process, ULONG Key, PVOID Context) {
  return fsrtl::ReleaseAll(FileLock, FileObject, Process, &Key, Context);
}

/// A lock request: with an IRP it may wait (TRUE, the IRP is completed by this routine or later), without one
/// it fails at once. FALSE with STATUS_LOCK_NOT_GRANTED in *Iosb: refused.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlPrivateLock.
NT_EXPORT(FsRtlPrivateLock, nt::AtMost(APC_LEVEL), Full, "FsRtlFileLock.*");
extern "C" BOOLEAN NTAPI FsRtlPrivateLock(PFILE_LOCK FileLock, PFILE_OBJECT FileObject,
                                          PLARGE_INTEGER FileOffset, PLARGE_INTEGER Length, PEPROCESS Process,
                                          ULONG Key, BOOLEAN FailImmediately, BOOLEAN ExclusiveLock,
                                          PIO_STATUS_BLOCK Iosb, PIRP Irp, PVOID Context, BOOLEAN) {
  Iosb->Information = 0;
  Iosb->Status =
      fsrtl::RequestLock(FileLock, Request(FileObject, FileOffset, Length, Process, Key, ExclusiveLock),
                         FailImmediately, Irp, Context);
  if (Iosb->Status != STATUS_PENDING && Irp != nullptr)
    fsrtl::CompleteLockIrp(FileLock, Context, Irp, Iosb->Status);
  return NT_SUCCESS(Iosb->Status);
}

/// Whether there is a lock, or a request for one is being served.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlAreThereCurrentOrInProgressFileLocks.
NT_EXPORT(FsRtlAreThereCurrentOrInProgressFileLocks, nt::AtMost(APC_LEVEL), Full, "FsRtlFileLock.*");
extern "C" BOOLEAN NTAPI FsRtlAreThereCurrentOrInProgressFileLocks(PFILE_LOCK FileLock) {
  return FileLock->FastIoIsQuestionable || FileLock->LockRequestsInProgress != 0;
}

/// Whether a request for a lock waits.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlAreThereWaitingFileLocks.
NT_EXPORT(FsRtlAreThereWaitingFileLocks, nt::AtMost(APC_LEVEL), Full, "FsRtlFileLock.*");
extern "C" BOOLEAN NTAPI FsRtlAreThereWaitingFileLocks(PFILE_LOCK FileLock) {
  fsrtl::LockTable* table = fsrtl::TableOf(FileLock);
  if (table == nullptr) return FALSE;
  ke::SpinGuard guard(&table->lock);
  return !IsListEmpty(&table->waiting);
}

/// Whether an oplock may be granted beside the locks: no lock reaches into the first AllocationSize bytes.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlCheckLockForOplockRequest.
NT_EXPORT(FsRtlCheckLockForOplockRequest, nt::AtMost(APC_LEVEL), Full, "FsRtlFileLock.*");
extern "C" BOOLEAN NTAPI FsRtlCheckLockForOplockRequest(PFILE_LOCK FileLock, PLARGE_INTEGER AllocationSize) {
  fsrtl::LockTable* table = fsrtl::TableOf(FileLock);
  if (table == nullptr) return TRUE;
  fsrtl::LockRange range;
  fsrtl::LockRange::Make(0, AllocationSize->QuadPart, &range);
  // Nobody's: every lock counts.
  ke::SpinGuard guard(&table->lock);
  return !fsrtl::AccessDeniedLocked(table, {}, range, true);
}
