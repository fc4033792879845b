// Byte-range locks of one file: what is granted, which requests wait.
#pragma once

#include "fsrtl_internal.h"

namespace fsrtl {

// Who holds or wants a range.
struct LockOwner {
  PFILE_OBJECT file;
  PVOID process;
  ULONG key;
  bool operator==(const LockOwner& other) const = default;
};

// Bytes [start, last]; a lock of no bytes has `empty` and stands before `start`.
struct LockRange {
  ULONGLONG start;
  ULONGLONG last;
  bool empty;

  // False: the range wraps around.
  static bool Make(LONGLONG offset, LONGLONG length, LockRange* range);
  bool Overlaps(const LockRange& other) const;
};

struct Lock {
  LIST_ENTRY link;
  FILE_LOCK_INFO info;
};

// Behind FILE_LOCK.LockInformation, made with the first lock.
struct LockTable {
  KSPIN_LOCK lock;
  LIST_ENTRY granted;  // of Lock, the oldest first
  LIST_ENTRY waiting;  // of IRPs (Tail.Overlay.ListEntry); DriverContext[0] is the FILE_LOCK
};

LockOwner OwnerOf(const FILE_LOCK_INFO& info);
LockTable* TableOf(PFILE_LOCK lock);  // 0: nobody has locked yet
LockTable* MakeTable(PFILE_LOCK lock);

// Under the table's spin lock.
bool ConflictsLocked(const LockTable* table, const FILE_LOCK_INFO& wanted);
bool AccessDeniedLocked(const LockTable* table, const LockOwner& owner, const LockRange& range, bool write);

// Grants, queues or refuses. With `irp` a conflicting request may wait (STATUS_PENDING).
NTSTATUS RequestLock(PFILE_LOCK lock, const FILE_LOCK_INFO& wanted, bool fail_immediately, PIRP irp,
                     PVOID context);
// Takes away what `matches` says of an owner's locks, then grants what waits.
NTSTATUS ReleaseOne(PFILE_LOCK lock, const FILE_LOCK_INFO& exact, PVOID context);
NTSTATUS ReleaseAll(PFILE_LOCK lock, PFILE_OBJECT file, PVOID process, const ULONG* key, PVOID context);
// Completes an IRP of a lock request by the file system's routine or IoCompleteRequest.
NTSTATUS CompleteLockIrp(PFILE_LOCK lock, PVOID context, PIRP irp, NTSTATUS status);
void DeleteTable(PFILE_LOCK lock);

}  // namespace fsrtl
