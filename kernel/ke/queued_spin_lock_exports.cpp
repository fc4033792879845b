// Queued spin locks: in-stack, with a node of the caller's, and numbered, with a node of each processor's
// (KPRCB.LockQueue). Waiters get the lock in the order in which they came: ktl/queued_spin_lock.h. A lock
// word that is used so must not be used as a plain spin lock.
//
// A waiter halts after a while, as under a hypervisor on Windows, and the one that hands the lock over wakes
// it: a machine may have more processors than the host, and each that spins keeps the next in line from
// running.
#include "ke_internal.h"
#include "ktl/queued_spin_lock.h"
#include "nt/export.h"

namespace {

constexpr KIRQL kSynchLevel = 12;

// The node on which each processor sleeps. It is set with interrupts disabled just before the halt, and an
// interrupt ends the halt: a node that an interrupt routine's wait has overwritten belongs to a waiter that
// is awake.
struct alignas(64) HaltedOn {
  ktl::QueueNode* volatile node;
};
HaltedOn halted_on[MAXIMUM_PROCESSORS];

struct HaltingPolicy : KiSpinPolicy {
  static constexpr unsigned kPatience = 8192;

  static bool Halt(ktl::QueueNode* node, bool (*announce)(ktl::QueueNode*)) {
    // The waking interrupt comes at IPI_LEVEL; at high IRQL, and with interrupts disabled, the wait spins.
    if (arch::ReadCr8() > kSynchLevel || !arch::DisableInterruptsAndTell()) return false;
    halted_on[KeGetCurrentPrcb()->Number].node = node;
    if (announce(node)) {
      arch::EnableInterruptsAndHalt();
    } else {
      arch::EnableInterrupts();
    }
    return true;
  }

  static DECLSPEC_NOINLINE void Wake(ktl::QueueNode* node) {
    for (ULONG i = 0; i < static_cast<ULONG>(KeNumberProcessors); ++i) {
      if (halted_on[i].node == node) hal::SendIpi(KiProcessorBlock[i]->ApicId, hal::kIpiVector);
    }
  }
};

using Queued = ktl::QueuedSpinLock<HaltingPolicy>;
static_assert(sizeof(ktl::QueueNode) == sizeof(KSPIN_LOCK_QUEUE));
static_assert(offsetof(ktl::QueueNode, lock) == FIELD_OFFSET(KSPIN_LOCK_QUEUE, Lock));

// One cache line each: they have nothing to do with each other.
struct alignas(64) NumberedLock {
  KSPIN_LOCK lock;
};
NumberedLock numbered_locks[LockQueueMaximumLock];

Queued::Word* WordOf(PKSPIN_LOCK lock) {
  return reinterpret_cast<Queued::Word*>(lock);
}
ktl::QueueNode* NodeOf(PKSPIN_LOCK_QUEUE queue) {
  return reinterpret_cast<ktl::QueueNode*>(queue);
}

KIRQL RaiseTo(KIRQL level) {
  const auto old_irql = static_cast<KIRQL>(arch::ReadCr8());
  arch::WriteCr8(level);
  return old_irql;
}

// IRQL >= DISPATCH_LEVEL.
FORCEINLINE void Acquire(PKSPIN_LOCK lock, PKSPIN_LOCK_QUEUE queue, PVOID caller, ULONG old_irql) {
  ktl::QueueNode* before;
  if (Queued::Enqueue(WordOf(lock), NodeOf(queue), &before)) {
    KiTraceAcquire(lock, LockFamilyQueued, caller);
  } else {
    KxWaitForLockOwnerShip(reinterpret_cast<PKSPIN_LOCK_QUEUE>(before), queue, caller, old_irql);
  }
}

FORCEINLINE void Release(PKSPIN_LOCK_QUEUE queue) {
  KiTraceRelease(Queued::WordOf(NodeOf(queue)), LockFamilyQueued);
  Queued::Release(NodeOf(queue));
}

PKSPIN_LOCK LockOf(KSPIN_LOCK_QUEUE_NUMBER number) {
  return &numbered_locks[number].lock;
}

LOGICAL TryAcquireNumbered(KSPIN_LOCK_QUEUE_NUMBER number, KIRQL level, PKIRQL old_irql, PVOID caller) {
  *old_irql = RaiseTo(level);
  if (Queued::TryAcquire(WordOf(LockOf(number)), NodeOf(&KeGetCurrentPrcb()->LockQueue[number]))) {
    KiTraceAcquire(LockOf(number), LockFamilyQueued, caller);
    return TRUE;
  }
  arch::WriteCr8(*old_irql);
  return FALSE;
}

}  // namespace

VOID KiInitializeQueuedSpinLocks(PKPRCB prcb) {
  for (ULONG i = 0; i < LockQueueMaximumLock; ++i) {
    prcb->LockQueue[i].Next = nullptr;
    prcb->LockQueue[i].Lock = LockOf(i);
  }
}

extern "C" {

DECLSPEC_NOINLINE VOID KxWaitForLockOwnerShip(PKSPIN_LOCK_QUEUE before, PKSPIN_LOCK_QUEUE queue, PVOID caller,
                                              ULONG old_irql) {
  KSPIN_RECORD record;
  KiBeginSpin(&record, const_cast<PVOID>(static_cast<volatile VOID*>(Queued::WordOf(NodeOf(queue)))),
              LockFamilyQueued, caller, old_irql);
  Queued::WaitForOwnership(NodeOf(before), NodeOf(queue));
  KiEndSpin(&record);
}

KIRQL KiAcquireQueuedSpinLockFor(KSPIN_LOCK_QUEUE_NUMBER number, KIRQL level, PVOID caller) {
  const KIRQL old_irql = RaiseTo(level);
  Acquire(LockOf(number), &KeGetCurrentPrcb()->LockQueue[number], caller, old_irql);
  return old_irql;
}

/// Raises to DISPATCH_LEVEL and takes the lock in turn; the handle lies on the caller's stack until the
/// release.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none; the acquisition is recorded in the lock trace.
/// Source: WDK wdm/KeAcquireInStackQueuedSpinLock.
NT_EXPORT(KeAcquireInStackQueuedSpinLock, nt::AtMost(DISPATCH_LEVEL), Full,
          "KeSpinLockFamilies.Queued* StressSpinLock.Queued*");
VOID NTAPI KeAcquireInStackQueuedSpinLock(PKSPIN_LOCK SpinLock, PKLOCK_QUEUE_HANDLE LockHandle) {
  const KIRQL old_irql = RaiseTo(DISPATCH_LEVEL);
  LockHandle->OldIrql = old_irql;
  Acquire(SpinLock, &LockHandle->LockQueue, __builtin_return_address(0), old_irql);
}

/// Hands the lock to the next in line and sets the IRQL that was before.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeReleaseInStackQueuedSpinLock.
NT_EXPORT(KeReleaseInStackQueuedSpinLock, nt::Exactly(DISPATCH_LEVEL), Full,
          "KeSpinLockFamilies.Queued* StressSpinLock.Queued*");
VOID NTAPI KeReleaseInStackQueuedSpinLock(PKLOCK_QUEUE_HANDLE LockHandle) {
  Release(&LockHandle->LockQueue);
  arch::WriteCr8(LockHandle->OldIrql);
}

/// Takes the lock in turn, at the present IRQL.
/// IRQL: >= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeAcquireInStackQueuedSpinLockAtDpcLevel.
NT_EXPORT(KeAcquireInStackQueuedSpinLockAtDpcLevel, nt::Between(DISPATCH_LEVEL, 15), Full,
          "KeSpinLock.* KeSpinLockFamilies.Queued*");
VOID NTAPI KeAcquireInStackQueuedSpinLockAtDpcLevel(PKSPIN_LOCK SpinLock, PKLOCK_QUEUE_HANDLE LockHandle) {
  Acquire(SpinLock, &LockHandle->LockQueue, __builtin_return_address(0), static_cast<ULONG>(arch::ReadCr8()));
}

/// Hands the lock to the next in line; the IRQL stays.
/// IRQL: >= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeReleaseInStackQueuedSpinLockFromDpcLevel.
NT_EXPORT(KeReleaseInStackQueuedSpinLockFromDpcLevel, nt::Between(DISPATCH_LEVEL, 15), Full,
          "KeSpinLock.* KeSpinLockFamilies.Queued*");
VOID NTAPI KeReleaseInStackQueuedSpinLockFromDpcLevel(PKLOCK_QUEUE_HANDLE LockHandle) {
  Release(&LockHandle->LockQueue);
}

/// Takes the lock in turn for a DPC that may be threaded: raises to DISPATCH_LEVEL where it runs below.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeAcquireInStackQueuedSpinLockForDpc.
NT_EXPORT(KeAcquireInStackQueuedSpinLockForDpc, nt::AtMost(DISPATCH_LEVEL), Full,
          "KeSpinLockFamilies.QueuedForDpc*");
VOID NTAPI KeAcquireInStackQueuedSpinLockForDpc(PKSPIN_LOCK SpinLock, PKLOCK_QUEUE_HANDLE LockHandle) {
  const KIRQL old_irql = RaiseTo(DISPATCH_LEVEL);
  LockHandle->OldIrql = old_irql;
  Acquire(SpinLock, &LockHandle->LockQueue, __builtin_return_address(0), old_irql);
}

/// Gives back what KeAcquireInStackQueuedSpinLockForDpc took.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeReleaseInStackQueuedSpinLockForDpc.
NT_EXPORT(KeReleaseInStackQueuedSpinLockForDpc, nt::Exactly(DISPATCH_LEVEL), Full,
          "KeSpinLockFamilies.QueuedForDpc*");
VOID NTAPI KeReleaseInStackQueuedSpinLockForDpc(PKLOCK_QUEUE_HANDLE LockHandle) {
  KeReleaseInStackQueuedSpinLock(LockHandle);
}

/// Raises to SYNCH_LEVEL (12) and takes the lock in turn; KeReleaseInStackQueuedSpinLock gives it back.
/// IRQL: <= SYNCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK headers: KeAcquireInStackQueuedSpinLockRaiseToSynch.
NT_EXPORT(KeAcquireInStackQueuedSpinLockRaiseToSynch, nt::AtMost(kSynchLevel), Full,
          "KeSpinLockFamilies.QueuedForDpcAnd*");
VOID NTAPI KeAcquireInStackQueuedSpinLockRaiseToSynch(PKSPIN_LOCK SpinLock, PKLOCK_QUEUE_HANDLE LockHandle) {
  const KIRQL old_irql = RaiseTo(kSynchLevel);
  LockHandle->OldIrql = old_irql;
  Acquire(SpinLock, &LockHandle->LockQueue, __builtin_return_address(0), old_irql);
}

/// Raises to DISPATCH_LEVEL and takes one of the system's numbered locks in turn. Returns the old IRQL.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs header: KeAcquireQueuedSpinLock.
NT_EXPORT(KeAcquireQueuedSpinLock, nt::AtMost(DISPATCH_LEVEL), Full, "KeSpinLockFamilies.Numbered*");
KIRQL FASTCALL KeAcquireQueuedSpinLock(KSPIN_LOCK_QUEUE_NUMBER Number) {
  return KiAcquireQueuedSpinLockFor(Number, DISPATCH_LEVEL, __builtin_return_address(0));
}

/// Raises to SYNCH_LEVEL (12) and takes a numbered lock in turn. Returns the old IRQL.
/// IRQL: <= SYNCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK headers: KeAcquireQueuedSpinLockRaiseToSynch.
NT_EXPORT(KeAcquireQueuedSpinLockRaiseToSynch, nt::AtMost(kSynchLevel), Full, "KeSpinLockFamilies.Numbered*");
KIRQL FASTCALL KeAcquireQueuedSpinLockRaiseToSynch(KSPIN_LOCK_QUEUE_NUMBER Number) {
  return KiAcquireQueuedSpinLockFor(Number, kSynchLevel, __builtin_return_address(0));
}

/// Gives a numbered lock to the next in line and sets the IRQL.
/// IRQL: DISPATCH_LEVEL or SYNCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs header: KeReleaseQueuedSpinLock.
NT_EXPORT(KeReleaseQueuedSpinLock, nt::Between(DISPATCH_LEVEL, kSynchLevel), Full,
          "KeSpinLockFamilies.Numbered*");
VOID FASTCALL KeReleaseQueuedSpinLock(KSPIN_LOCK_QUEUE_NUMBER Number, KIRQL OldIrql) {
  Release(&KeGetCurrentPrcb()->LockQueue[Number]);
  arch::WriteCr8(OldIrql);
}

/// Takes a numbered lock if it is free, raised to DISPATCH_LEVEL; otherwise FALSE and the IRQL is as before.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs header: KeTryToAcquireQueuedSpinLock.
NT_EXPORT(KeTryToAcquireQueuedSpinLock, nt::AtMost(DISPATCH_LEVEL), Full, "KeSpinLockFamilies.Numbered*");
LOGICAL FASTCALL KeTryToAcquireQueuedSpinLock(KSPIN_LOCK_QUEUE_NUMBER Number, PKIRQL OldIrql) {
  return TryAcquireNumbered(Number, DISPATCH_LEVEL, OldIrql, __builtin_return_address(0));
}

/// Takes a numbered lock if it is free, raised to SYNCH_LEVEL (12); otherwise FALSE and the IRQL is as
/// before.
/// IRQL: <= SYNCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK headers: KeTryToAcquireQueuedSpinLockRaiseToSynch.
NT_EXPORT(KeTryToAcquireQueuedSpinLockRaiseToSynch, nt::AtMost(kSynchLevel), Full,
          "KeSpinLockFamilies.Numbered*");
LOGICAL FASTCALL KeTryToAcquireQueuedSpinLockRaiseToSynch(KSPIN_LOCK_QUEUE_NUMBER Number, PKIRQL OldIrql) {
  return TryAcquireNumbered(Number, kSynchLevel, OldIrql, __builtin_return_address(0));
}

}  // extern "C"
