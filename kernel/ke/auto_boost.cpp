// AutoBoost. The entries of a thread are claimed and given back by itself (or, for resources, by who releases
// in its name), with compare-exchange, since an APC may acquire a lock between any two instructions.
//
// A waiter finds the owner through a table of hints, lock -> entry of its last acquirer, which costs the
// uncontended path one store. A hint may be overwritten by a lock with the same hash: then nobody is boosted.
// Entries lie in thread objects: a hint is only followed under its bucket's lock, and an ending thread, whose
// hints are gone by then, passes through every bucket's lock before it is freed.
#include "ke/auto_boost.h"

#include "ke/spin_guard.h"
#include "ke_internal.h"

#ifndef KERNEL_LOCK_ENTRY_LEAKED_ON_THREAD_TERMINATION
#define KERNEL_LOCK_ENTRY_LEAKED_ON_THREAD_TERMINATION 0x153
#endif
#ifndef KERNEL_AUTO_BOOST_INVALID_LOCK_RELEASE
#define KERNEL_AUTO_BOOST_INVALID_LOCK_RELEASE 0x162
#endif
#ifndef KERNEL_AUTO_BOOST_LOCK_ACQUISITION_WITH_RAISED_IRQL
#define KERNEL_AUTO_BOOST_LOCK_ACQUISITION_WITH_RAISED_IRQL 0x192
#endif

namespace {

constexpr ULONG kHints = 1024;
constexpr ULONG kBuckets = 16;
constexpr ULONG_PTR kNoSession = 0xFFFFFFFF;  // threads of the System process belong to none
constexpr LONG kAcquired = 1;
constexpr ULONG_PTR kLeakedLockPointer = 1;  // 0x153, parameter 3

PKLOCK_ENTRY volatile hints[kHints];
KSPIN_LOCK bucket_locks[kBuckets];
KSPIN_LOCK floor_lock;  // guards AbPriorityFloor of all threads

ULONG HashOf(PVOID lock) {
  return static_cast<ULONG>((reinterpret_cast<ULONG64>(lock) >> 3) * 0x9E3779B97F4A7C15ull >> 54) % kHints;
}

KPRIORITY LentTo(const KLOCK_ENTRY& entry) {
  return entry.AcquiredState >> 8;
}

// The highest priority that waiters lend `thread` now.
KPRIORITY HighestLent(PKTHREAD thread) {
  KPRIORITY highest = 0;
  for (ULONG i = 0; i < thread->LockEntryCount; ++i) {
    const KPRIORITY lent = LentTo(thread->LockEntries[i]);
    if (lent > highest) highest = lent;
  }
  return highest;
}

// Brings the thread's floor and priority in line with what is lent to it.
void UpdateFloor(PKTHREAD thread) {
  ke::SpinGuard floor_guard(&floor_lock);
  const KPRIORITY floor = HighestLent(thread);
  const KPRIORITY before = thread->AbPriorityFloor;
  thread->AbPriorityFloor = static_cast<SCHAR>(floor);
  DispatchGuard guard;
  if (floor > thread->Priority) {
    KiSetPriority(thread, floor, thread->BasePriority);
  } else if (floor < before && thread->Priority <= before) {
    const KPRIORITY normal = floor > thread->BasePriority ? floor : thread->BasePriority;
    if (normal < thread->Priority) KiSetPriority(thread, normal, thread->BasePriority);
  }
}

// FALSE: the entry is not of an acquired lock any more, or as much is lent already.
bool Lend(PKLOCK_ENTRY entry, KPRIORITY priority) {
  for (;;) {
    const LONG state = entry->AcquiredState;
    if (state == 0 || state >> 8 >= priority) return false;
    if (InterlockedCompareExchange(&entry->AcquiredState, kAcquired | priority << 8, state) == state)
      return true;
  }
}

// Real-time priorities are not lent: the owner would not be preempted by what the caller did not mean.
KPRIORITY Lendable(PKTHREAD thread) {
  return thread->Priority < kLowRealtime ? thread->Priority : kLowRealtime - 1;
}

// The lock that `thread` waits for, 0 = none.
PVOID AwaitedLock(PKTHREAD thread) {
  for (ULONG i = 0; i < thread->LockEntryCount; ++i) {
    if (thread->LockEntries[i].Waiting != 0) return thread->LockEntries[i].LockState;
  }
  return nullptr;
}

// Lends to the last acquirer of `lock`. Returns the lock that it waits for itself.
PVOID LendToOwner(PVOID lock, KPRIORITY priority) {
  const ULONG hash = HashOf(lock);
  if (hints[hash] == nullptr) return nullptr;
  PVOID next = nullptr;
  ke::SpinGuard guard(&bucket_locks[hash % kBuckets]);
  PKLOCK_ENTRY owner = hints[hash];
  if (owner != nullptr && owner->LockState == lock && owner->Thread->Priority < priority &&
      Lend(owner, priority)) {
    UpdateFloor(owner->Thread);
    next = AwaitedLock(owner->Thread);
  }
  return next;
}

// An owner that waits for another lock passes on what it was lent.
void LendAlong(PVOID lock, KPRIORITY priority) {
  constexpr int kMostLinks = 16;  // a deadlock is a circle
  for (int i = 0; i < kMostLinks && lock != nullptr; ++i) lock = LendToOwner(lock, priority);
}

}  // namespace

extern "C" {

PKLOCK_ENTRY KeAbFindEntry(PKTHREAD thread, PVOID lock) {
  for (ULONG i = 0; i < thread->LockEntryCount; ++i) {
    PKLOCK_ENTRY entry = &thread->LockEntries[i];
    if (entry->LockState == lock && entry->AcquiredState != 0) return entry;
  }
  return nullptr;
}

PKLOCK_ENTRY KeAbAllocateEntry(PKTHREAD thread, PVOID lock, KeLockKind kind, PVOID caller) {
  for (ULONG i = 0; i < thread->LockEntryCount; ++i) {
    PKLOCK_ENTRY entry = &thread->LockEntries[i];
    if (entry->LockState != nullptr) continue;
    if (InterlockedCompareExchangePointer(&entry->LockState, lock, nullptr) != nullptr) continue;
    entry->CallerAddress = caller;
    entry->Kind = static_cast<UCHAR>(kind);
    entry->Waiting = 0;
    entry->Thread = thread;
    return entry;
  }
  InterlockedIncrement(&thread->AbUntrackedCount);
  return nullptr;
}

PKLOCK_ENTRY KeAbPreAcquire(PVOID lock, KeLockKind kind, PVOID caller) {
  const KIRQL irql = KeGetCurrentIrql();
  if (irql >= DISPATCH_LEVEL) {
    KeBugCheckEx(KERNEL_AUTO_BOOST_LOCK_ACQUISITION_WITH_RAISED_IRQL,
                 reinterpret_cast<ULONG_PTR>(KeCurrentThread()), reinterpret_cast<ULONG_PTR>(lock), irql, 0);
  }
  return KeAbAllocateEntry(KeCurrentThread(), lock, kind, caller);
}

VOID KeAbPostAcquire(PKLOCK_ENTRY entry) {
  if (entry == nullptr) return;
  entry->AcquireTime = hal::PerformanceNow();
  entry->Waiting = 0;
  entry->AcquiredState = kAcquired;
  hints[HashOf(entry->LockState)] = entry;
}

VOID KeAbPreWait(PKLOCK_ENTRY entry, PVOID lock) {
  if (entry != nullptr) {
    entry->AcquireTime = hal::PerformanceNow();
    // Before the priority is read: who lends to this thread from now on passes it on itself.
    __atomic_store_n(&entry->Waiting, UCHAR{1}, __ATOMIC_SEQ_CST);
  }
  LendAlong(lock, Lendable(KeCurrentThread()));
}

VOID KeAbLendPriority(PKTHREAD thread, PVOID lock, KPRIORITY priority) {
  if (thread->Priority >= priority) return;
  PKLOCK_ENTRY entry = KeAbFindEntry(thread, lock);
  if (entry == nullptr || !Lend(entry, priority)) return;
  UpdateFloor(thread);
  LendAlong(AwaitedLock(thread), priority);
}

VOID KeAbCancel(PKLOCK_ENTRY entry) {
  if (entry == nullptr) {
    InterlockedDecrement(&KeCurrentThread()->AbUntrackedCount);
    return;
  }
  entry->Waiting = 0;
  InterlockedExchangePointer(&entry->LockState, nullptr);
}

VOID KeAbPostReleaseEx(PKTHREAD thread, PKLOCK_ENTRY entry) {
  if (entry == nullptr) {
    InterlockedDecrement(&thread->AbUntrackedCount);
    return;
  }
  const ULONG hash = HashOf(entry->LockState);
  if (hints[hash] == entry) hints[hash] = nullptr;
  const LONG state = InterlockedExchange(&entry->AcquiredState, 0);
  InterlockedExchangePointer(&entry->LockState, nullptr);
  if (state == kAcquired) return;
  // Whoever lent has applied it once it leaves the bucket.
  ke::SpinGuard guard(&bucket_locks[hash % kBuckets]);
  UpdateFloor(thread);
}

VOID KeAbPostRelease(PVOID lock) {
  PKTHREAD thread = KeCurrentThread();
  PKLOCK_ENTRY entry = KeAbFindEntry(thread, lock);
  if (entry == nullptr && thread->AbUntrackedCount == 0) {
    KeBugCheckEx(KERNEL_AUTO_BOOST_INVALID_LOCK_RELEASE, reinterpret_cast<ULONG_PTR>(thread),
                 reinterpret_cast<ULONG_PTR>(lock), kNoSession, 0);
  }
  KeAbPostReleaseEx(thread, entry);
}

VOID KeAbCleanupThread(PKTHREAD thread) {
  for (ULONG i = 0; i < thread->LockEntryCount; ++i) {
    PKLOCK_ENTRY entry = &thread->LockEntries[i];
    if (entry->LockState == nullptr) continue;
    if (entry->Kind == static_cast<UCHAR>(KeLockKind::kInName)) {
      KeAbPostReleaseEx(thread, entry);
      continue;
    }
    KeBugCheckEx(KERNEL_LOCK_ENTRY_LEAKED_ON_THREAD_TERMINATION, reinterpret_cast<ULONG_PTR>(thread),
                 reinterpret_cast<ULONG_PTR>(entry), kLeakedLockPointer,
                 reinterpret_cast<ULONG_PTR>(entry->LockState));
  }
  for (KSPIN_LOCK& lock : bucket_locks) KeReleaseSpinLock(&lock, KeAcquireSpinLockRaiseToDpc(&lock));
}

}  // extern "C"
