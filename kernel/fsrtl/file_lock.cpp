#include "file_lock.h"

namespace fsrtl {

bool LockRange::Make(LONGLONG offset, LONGLONG length, LockRange* range) {
  range->start = static_cast<ULONGLONG>(offset);
  range->empty = length == 0;
  range->last = range->start + static_cast<ULONGLONG>(length) - 1;
  return range->empty || range->last >= range->start;
}

bool LockRange::Overlaps(const LockRange& other) const {
  if (empty && other.empty) return false;
  if (empty) return other.start < start && start <= other.last;
  if (other.empty) return start < other.start && other.start <= last;
  return start <= other.last && other.start <= last;
}

namespace {

LockRange RangeOf(const FILE_LOCK_INFO& info) {
  LockRange range;
  LockRange::Make(info.StartingByte.QuadPart, info.Length.QuadPart, &range);
  return range;
}

FILE_LOCK_INFO InfoOf(PIRP irp) {
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  FILE_LOCK_INFO info = {};
  info.StartingByte = stack->Parameters.LockControl.ByteOffset;
  info.Length = *stack->Parameters.LockControl.Length;
  info.ExclusiveLock = (stack->Flags & SL_EXCLUSIVE_LOCK) != 0;
  info.Key = stack->Parameters.LockControl.Key;
  info.FileObject = stack->FileObject;
  info.ProcessId = IoGetRequestorProcess(irp);
  info.EndingByte.QuadPart = info.StartingByte.QuadPart + info.Length.QuadPart - 1;
  return info;
}

void NTAPI CancelWaiting(PDEVICE_OBJECT, PIRP irp) {
  IoReleaseCancelSpinLock(irp->CancelIrql);
  auto* lock = static_cast<PFILE_LOCK>(irp->Tail.Overlay.DriverContext[0]);
  {
    ke::SpinGuard guard(&TableOf(lock)->lock);
    RemoveEntryList(&irp->Tail.Overlay.ListEntry);
  }
  CompleteLockIrp(lock, irp->Tail.Overlay.DriverContext[1], irp, STATUS_CANCELLED);
}

// Takes a waiting IRP off the queue, unless its cancel routine has begun and will.
bool ClaimWaitingLocked(PIRP irp) {
  if (IoSetCancelRoutine(irp, nullptr) == nullptr) return false;
  RemoveEntryList(&irp->Tail.Overlay.ListEntry);
  return true;
}

// False: the request was cancelled before it could wait.
bool QueueLocked(PFILE_LOCK lock, LockTable* table, PIRP irp, PVOID context) {
  irp->Tail.Overlay.DriverContext[0] = lock;
  irp->Tail.Overlay.DriverContext[1] = context;
  IoMarkIrpPending(irp);
  InsertTailList(&table->waiting, &irp->Tail.Overlay.ListEntry);
  IoSetCancelRoutine(irp, CancelWaiting);
  if (!irp->Cancel || IoSetCancelRoutine(irp, nullptr) == nullptr) return true;
  RemoveEntryList(&irp->Tail.Overlay.ListEntry);
  return false;
}

void Enter(PFILE_LOCK lock, LockTable* table, Lock* entry) {
  InsertTailList(&table->granted, &entry->link);
  lock->FastIoIsQuestionable = TRUE;
}

Lock* NewLock(const FILE_LOCK_INFO& info) {
  auto* entry = static_cast<Lock*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Lock), 'klFF'));
  if (entry != nullptr) entry->info = info;
  return entry;
}

bool SameRequest(const FILE_LOCK_INFO& a, const FILE_LOCK_INFO& b) {
  return a.StartingByte.QuadPart == b.StartingByte.QuadPart && a.Length.QuadPart == b.Length.QuadPart &&
         OwnerOf(a) == OwnerOf(b);
}

void Forget(PFILE_LOCK lock, const FILE_LOCK_INFO& info) {
  auto* table = TableOf(lock);
  Lock* found = nullptr;
  {
    ke::SpinGuard guard(&table->lock);
    for (LIST_ENTRY* link = table->granted.Blink; link != &table->granted; link = link->Blink) {
      auto* entry = CONTAINING_RECORD(link, Lock, link);
      if (!SameRequest(entry->info, info) || entry->info.ExclusiveLock != info.ExclusiveLock) continue;
      RemoveEntryList(link);
      found = entry;
      break;
    }
  }
  if (found != nullptr) ExFreePoolWithTag(found, 'klFF');
}

// The oldest waiting request that nothing stands against any more, off the queue and entered; 0: none.
PIRP GrantNext(PFILE_LOCK lock, LockTable* table, NTSTATUS* status) {
  ke::SpinGuard guard(&table->lock);
  for (LIST_ENTRY* link = table->waiting.Flink; link != &table->waiting; link = link->Flink) {
    PIRP irp = CONTAINING_RECORD(link, IRP, Tail.Overlay.ListEntry);
    const FILE_LOCK_INFO info = InfoOf(irp);
    if (ConflictsLocked(table, info)) continue;
    if (!ClaimWaitingLocked(irp)) continue;
    Lock* entry = NewLock(info);
    *status = entry != nullptr ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
    if (entry != nullptr) Enter(lock, table, entry);
    return irp;
  }
  lock->FastIoIsQuestionable = !IsListEmpty(&table->granted);
  return nullptr;
}

void GrantWaiting(PFILE_LOCK lock) {
  LockTable* table = TableOf(lock);
  NTSTATUS status = STATUS_SUCCESS;
  while (PIRP irp = GrantNext(lock, table, &status)) {
    const FILE_LOCK_INFO info = InfoOf(irp);
    const NTSTATUS completed = CompleteLockIrp(lock, irp->Tail.Overlay.DriverContext[1], irp, status);
    if (NT_SUCCESS(status) && !NT_SUCCESS(completed)) Forget(lock, info);
  }
}

PIRP TakeWaitingOf(LockTable* table, PFILE_OBJECT file, PVOID process, const ULONG* key) {
  ke::SpinGuard guard(&table->lock);
  for (LIST_ENTRY* link = table->waiting.Flink; link != &table->waiting; link = link->Flink) {
    PIRP irp = CONTAINING_RECORD(link, IRP, Tail.Overlay.ListEntry);
    const LockOwner owner = OwnerOf(InfoOf(irp));
    if (owner.file != file || owner.process != process || (key != nullptr && owner.key != *key)) continue;
    if (ClaimWaitingLocked(irp)) return irp;
  }
  return nullptr;
}

Lock* TakeOneOf(LockTable* table, PFILE_OBJECT file, PVOID process, const ULONG* key) {
  ke::SpinGuard guard(&table->lock);
  for (LIST_ENTRY* link = table->granted.Flink; link != &table->granted; link = link->Flink) {
    auto* entry = CONTAINING_RECORD(link, Lock, link);
    const LockOwner owner = OwnerOf(entry->info);
    if (owner.file != file || owner.process != process || (key != nullptr && owner.key != *key)) continue;
    RemoveEntryList(link);
    return entry;
  }
  return nullptr;
}

void TellUnlocked(PFILE_LOCK lock, PVOID context, Lock* entry) {
  if (lock->UnlockRoutine != nullptr) lock->UnlockRoutine(context, &entry->info);
  ExFreePoolWithTag(entry, 'klFF');
}

}  // namespace

LockOwner OwnerOf(const FILE_LOCK_INFO& info) {
  return {info.FileObject, info.ProcessId, info.Key};
}

LockTable* TableOf(PFILE_LOCK lock) {
  return static_cast<LockTable*>(*reinterpret_cast<PVOID volatile*>(&lock->LockInformation));
}

LockTable* MakeTable(PFILE_LOCK lock) {
  if (LockTable* table = TableOf(lock); table != nullptr) return table;
  auto* table = static_cast<LockTable*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(LockTable), 'klFF'));
  if (table == nullptr) return nullptr;
  KeInitializeSpinLock(&table->lock);
  InitializeListHead(&table->granted);
  InitializeListHead(&table->waiting);
  if (InterlockedCompareExchangePointer(&lock->LockInformation, table, nullptr) != nullptr)
    ExFreePoolWithTag(table, 'klFF');
  return TableOf(lock);
}

// An exclusive lock conflicts with every lock that overlaps it; a shared one with exclusive ones of others.
bool ConflictsLocked(const LockTable* table, const FILE_LOCK_INFO& wanted) {
  const LockRange range = RangeOf(wanted);
  for (LIST_ENTRY* link = table->granted.Flink; link != &table->granted; link = link->Flink) {
    const FILE_LOCK_INFO& held = CONTAINING_RECORD(link, Lock, link)->info;
    if (!RangeOf(held).Overlaps(range)) continue;
    if (wanted.ExclusiveLock || (held.ExclusiveLock && !(OwnerOf(held) == OwnerOf(wanted)))) return true;
  }
  return false;
}

// Nobody writes where a shared lock is, not even its owner; an exclusive lock is its owner's alone.
bool AccessDeniedLocked(const LockTable* table, const LockOwner& owner, const LockRange& range, bool write) {
  if (range.empty) return false;
  for (LIST_ENTRY* link = table->granted.Flink; link != &table->granted; link = link->Flink) {
    const FILE_LOCK_INFO& held = CONTAINING_RECORD(link, Lock, link)->info;
    if (!RangeOf(held).Overlaps(range)) continue;
    if (held.ExclusiveLock ? !(OwnerOf(held) == owner) : write) return true;
  }
  return false;
}

NTSTATUS CompleteLockIrp(PFILE_LOCK lock, PVOID context, PIRP irp, NTSTATUS status) {
  irp->IoStatus.Information = 0;
  irp->IoStatus.Status = status;
  if (lock->CompleteLockIrpRoutine != nullptr) return lock->CompleteLockIrpRoutine(context, irp);
  IofCompleteRequest(irp, IO_DISK_INCREMENT);
  return status;
}

NTSTATUS RequestLock(PFILE_LOCK lock, const FILE_LOCK_INFO& wanted, bool fail_immediately, PIRP irp,
                     PVOID context) {
  LockRange range;
  if (!LockRange::Make(wanted.StartingByte.QuadPart, wanted.Length.QuadPart, &range))
    return STATUS_INVALID_LOCK_RANGE;
  LockTable* table = MakeTable(lock);
  Lock* entry = table != nullptr ? NewLock(wanted) : nullptr;
  if (entry == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  InterlockedIncrement(&lock->LockRequestsInProgress);
  NTSTATUS status = STATUS_SUCCESS;
  {
    ke::SpinGuard guard(&table->lock);
    if (!ConflictsLocked(table, wanted)) {
      Enter(lock, table, entry);
      entry = nullptr;
    } else if (fail_immediately || irp == nullptr) {
      status = STATUS_LOCK_NOT_GRANTED;
    } else {
      status = QueueLocked(lock, table, irp, context) ? STATUS_PENDING : STATUS_CANCELLED;
    }
  }
  InterlockedDecrement(&lock->LockRequestsInProgress);
  if (entry != nullptr) ExFreePoolWithTag(entry, 'klFF');
  return status;
}

NTSTATUS ReleaseOne(PFILE_LOCK lock, const FILE_LOCK_INFO& exact, PVOID context) {
  LockTable* table = TableOf(lock);
  if (table == nullptr) return STATUS_RANGE_NOT_LOCKED;
  Lock* found = nullptr;
  {
    ke::SpinGuard guard(&table->lock);
    // Where an owner has both, the exclusive lock goes first.
    for (LIST_ENTRY* link = table->granted.Flink; link != &table->granted; link = link->Flink) {
      auto* entry = CONTAINING_RECORD(link, Lock, link);
      if (!SameRequest(entry->info, exact)) continue;
      if (found == nullptr || (entry->info.ExclusiveLock && !found->info.ExclusiveLock)) found = entry;
    }
    if (found != nullptr) RemoveEntryList(&found->link);
  }
  if (found == nullptr) return STATUS_RANGE_NOT_LOCKED;
  TellUnlocked(lock, context, found);
  GrantWaiting(lock);
  return STATUS_SUCCESS;
}

NTSTATUS ReleaseAll(PFILE_LOCK lock, PFILE_OBJECT file, PVOID process, const ULONG* key, PVOID context) {
  LockTable* table = TableOf(lock);
  if (table == nullptr) return STATUS_RANGE_NOT_LOCKED;
  while (PIRP irp = TakeWaitingOf(table, file, process, key))
    CompleteLockIrp(lock, irp->Tail.Overlay.DriverContext[1], irp, STATUS_RANGE_NOT_LOCKED);
  bool any = false;
  while (Lock* entry = TakeOneOf(table, file, process, key)) {
    any = true;
    TellUnlocked(lock, context, entry);
  }
  GrantWaiting(lock);
  return any ? STATUS_SUCCESS : STATUS_RANGE_NOT_LOCKED;
}

void DeleteTable(PFILE_LOCK lock) {
  LockTable* table = TableOf(lock);
  if (table == nullptr) return;
  for (;;) {
    PIRP irp = nullptr;
    {
      ke::SpinGuard guard(&table->lock);
      if (IsListEmpty(&table->waiting)) break;
      irp = CONTAINING_RECORD(table->waiting.Flink, IRP, Tail.Overlay.ListEntry);
      if (!ClaimWaitingLocked(irp)) irp = nullptr;
    }
    // An IRP whose cancel routine runs leaves the queue on its own.
    if (irp != nullptr)
      CompleteLockIrp(lock, irp->Tail.Overlay.DriverContext[1], irp, STATUS_RANGE_NOT_LOCKED);
  }
  while (!IsListEmpty(&table->granted))
    ExFreePoolWithTag(CONTAINING_RECORD(RemoveHeadList(&table->granted), Lock, link), 'klFF');
  lock->LockInformation = nullptr;
  ExFreePoolWithTag(table, 'klFF');
}

}  // namespace fsrtl
