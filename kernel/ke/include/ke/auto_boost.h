// AutoBoost: which locks a thread holds or waits for (KTHREAD.LockEntries), and priority that waiters lend to
// the owner of a lock. Used by every lock that has an owning thread: fast and guarded mutexes, push locks,
// resources.
//
// An acquisition is
//   entry = KeAbPreAcquire(lock, kind, caller);            at <= APC_LEVEL, else bug check 0x192
//   [ KeAbPreWait(entry, lock); wait; ]                    a waiter lends its priority to the owner
//   KeAbPostAcquire(entry);                                or KeAbCancel(entry) if it did not come to it
// and a release KeAbPostRelease(lock), after the lock was released. An entry may be 0: a thread that holds
// more locks than it has entries goes on without; such locks are only counted.
#pragma once

#include "nt/kthread.h"

// kInName: somebody else releases the lock in the thread's name; the entry goes with the thread at the
// latest.
enum class KeLockKind : UCHAR {
  kFastMutex = 1,
  kGuardedMutex = 2,
  kPushLock = 3,
  kResource = 4,
  kInName = 5
};

extern "C" {

PKLOCK_ENTRY KeAbPreAcquire(PVOID lock, KeLockKind kind, PVOID caller);
VOID KeAbPreWait(PKLOCK_ENTRY entry, PVOID lock);
VOID KeAbPostAcquire(PKLOCK_ENTRY entry);
VOID KeAbCancel(PKLOCK_ENTRY entry);
// The current thread's entry of `lock` goes, and with it what was lent for it. No such entry: bug check
// 0x162.
VOID KeAbPostRelease(PVOID lock);

// ---- For locks whose owners may differ from who releases them (resources) ----
// As KeAbPreAcquire at any IRQL <= DISPATCH_LEVEL.
PKLOCK_ENTRY KeAbAllocateEntry(PKTHREAD thread, PVOID lock, KeLockKind kind, PVOID caller);
// The entry under which `thread` holds `lock`; 0 if there is none.
PKLOCK_ENTRY KeAbFindEntry(PKTHREAD thread, PVOID lock);
// The caller holds a lock that keeps `thread` from releasing `lock` meanwhile.
VOID KeAbLendPriority(PKTHREAD thread, PVOID lock, KPRIORITY priority);
// Gives an entry back; `thread` is its owner, entry may be 0 (then it was an untracked one).
VOID KeAbPostReleaseEx(PKTHREAD thread, PKLOCK_ENTRY entry);

// The thread object goes away: bug check 0x153 if an entry is still in use.
VOID KeAbCleanupThread(PKTHREAD thread);

}  // extern "C"
