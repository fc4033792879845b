// Spin locks. The six routines of the hot path are in arch/x64/spin_lock.S; here are their pages, and the
// rest.
#include "ke_internal.h"
#include "nt/export.h"

extern "C" {

/// Raises to DISPATCH_LEVEL, then takes the lock, spinning as long as it takes. Returns the old IRQL.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none; the acquisition is recorded in the lock trace.
/// Source: WDK wdm/KeAcquireSpinLock (the macro becomes this).
NT_EXPORT(KeAcquireSpinLockRaiseToDpc, nt::AtMost(DISPATCH_LEVEL), Full, "KeSpinLock.*");

/// Takes the lock at the present IRQL, which must be DISPATCH_LEVEL or more.
/// IRQL: >= DISPATCH_LEVEL.
/// Differs from NT: none; the acquisition is recorded in the lock trace.
/// Source: WDK wdm/KeAcquireSpinLockAtDpcLevel.
NT_EXPORT(KeAcquireSpinLockAtDpcLevel, nt::Between(DISPATCH_LEVEL, 15), Full, "KeSpinLock.*");

/// Takes the lock if it is free; never spins. TRUE: the lock is the caller's.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none; the acquisition is recorded in the lock trace.
/// Source: WDK wdm/KeTryToAcquireSpinLockAtDpcLevel.
NT_EXPORT(KeTryToAcquireSpinLockAtDpcLevel, nt::Exactly(DISPATCH_LEVEL), Full, "KeSpinLock.*");

/// Gives the lock back and sets the IRQL.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeReleaseSpinLock.
NT_EXPORT(KeReleaseSpinLock, nt::Exactly(DISPATCH_LEVEL), Full, "KeSpinLock.*");

/// Gives the lock back; the IRQL stays.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeReleaseSpinLockFromDpcLevel.
NT_EXPORT(KeReleaseSpinLockFromDpcLevel, nt::Exactly(DISPATCH_LEVEL), Full, "KeSpinLock.*");

/// Prepares a lock: free.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeInitializeSpinLock.
NT_EXPORT(KeInitializeSpinLock, nt::AnyIrql(), Full, "KeSpinLock.*");
VOID NTAPI KeInitializeSpinLock(PKSPIN_LOCK SpinLock) {
  *SpinLock = 0;
}

/// TRUE when the lock is free.
/// IRQL: >= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeTestSpinLock.
NT_EXPORT(KeTestSpinLock, nt::AnyIrql(), Full, "KeSpinLock.*");
BOOLEAN NTAPI KeTestSpinLock(PKSPIN_LOCK SpinLock) {
  if ((__atomic_load_n(SpinLock, __ATOMIC_ACQUIRE) & 1) == 0) return TRUE;
  arch::Pause();
  return FALSE;
}

/// Raises to DISPATCH_LEVEL and takes the lock; the handle lies on the caller's stack until the release.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: waiters do not queue: the lock goes to whoever sees it free first.
/// Source: WDK wdm/KeAcquireInStackQueuedSpinLock.
NT_EXPORT(KeAcquireInStackQueuedSpinLock, nt::AtMost(DISPATCH_LEVEL), Partial, "KeSpinLock.*");
VOID NTAPI KeAcquireInStackQueuedSpinLock(PKSPIN_LOCK SpinLock, PKLOCK_QUEUE_HANDLE LockHandle) {
  LockHandle->LockQueue.Next = nullptr;
  LockHandle->LockQueue.Lock = SpinLock;
  LockHandle->OldIrql = KeAcquireSpinLockRaiseToDpc(SpinLock);
}

/// Gives back what KeAcquireInStackQueuedSpinLock took.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeReleaseInStackQueuedSpinLock.
NT_EXPORT(KeReleaseInStackQueuedSpinLock, nt::Exactly(DISPATCH_LEVEL), Full, "KeSpinLock.*");
VOID NTAPI KeReleaseInStackQueuedSpinLock(PKLOCK_QUEUE_HANDLE LockHandle) {
  KeReleaseSpinLock(LockHandle->LockQueue.Lock, LockHandle->OldIrql);
}

/// Takes the lock at DISPATCH_LEVEL with a handle on the stack.
/// IRQL: >= DISPATCH_LEVEL.
/// Differs from NT: waiters do not queue.
/// Source: WDK wdm/KeAcquireInStackQueuedSpinLockAtDpcLevel.
NT_EXPORT(KeAcquireInStackQueuedSpinLockAtDpcLevel, nt::Between(DISPATCH_LEVEL, 15), Partial, "KeSpinLock.*");
VOID NTAPI KeAcquireInStackQueuedSpinLockAtDpcLevel(PKSPIN_LOCK SpinLock, PKLOCK_QUEUE_HANDLE LockHandle) {
  LockHandle->LockQueue.Next = nullptr;
  LockHandle->LockQueue.Lock = SpinLock;
  KeAcquireSpinLockAtDpcLevel(SpinLock);
}

/// Gives back what KeAcquireInStackQueuedSpinLockAtDpcLevel took.
/// IRQL: >= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeReleaseInStackQueuedSpinLockFromDpcLevel.
NT_EXPORT(KeReleaseInStackQueuedSpinLockFromDpcLevel, nt::Between(DISPATCH_LEVEL, 15), Full, "KeSpinLock.*");
VOID NTAPI KeReleaseInStackQueuedSpinLockFromDpcLevel(PKLOCK_QUEUE_HANDLE LockHandle) {
  KeReleaseSpinLockFromDpcLevel(LockHandle->LockQueue.Lock);
}

}  // extern "C"
