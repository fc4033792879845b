// Reader-writer spin locks (EX_SPIN_LOCK): ktl/shared_spin_lock.h has the algorithm. Writers are not starved:
// a writer that waits keeps new readers out.
#include "ex/ex.h"
#include "ke/lock_trace.h"
#include "ktl/shared_spin_lock.h"
#include "nt/export.h"

namespace {

using Shared = ktl::SharedSpinLock<KiSpinPolicy>;

Shared::Word* WordOf(PEX_SPIN_LOCK lock) {
  return reinterpret_cast<Shared::Word*>(lock);
}

KIRQL Irql() {
  return static_cast<KIRQL>(__readcr8());
}
KIRQL RaiseToDispatch() {
  const KIRQL old_irql = Irql();
  __writecr8(DISPATCH_LEVEL);
  return old_irql;
}

}  // namespace

extern "C" {

// The contended halves, frames of their own on the stack; they return with the lock held and recorded.
DECLSPEC_NOINLINE VOID ExpWaitForSpinLockExclusiveAndAcquire(PEX_SPIN_LOCK lock, BOOLEAN claimed,
                                                             PVOID caller, ULONG old_irql) {
  KSPIN_RECORD record;
  KiBeginSpin(&record, const_cast<LONG*>(lock), LockFamilyExclusive, caller, old_irql);
  if (!claimed) Shared::WaitForClaim(WordOf(lock));
  Shared::WaitForReaders(WordOf(lock));
  KiEndSpin(&record);
}

DECLSPEC_NOINLINE VOID ExpWaitForSpinLockSharedAndAcquire(PEX_SPIN_LOCK lock, PVOID caller, ULONG old_irql) {
  KSPIN_RECORD record;
  KiBeginSpin(&record, const_cast<LONG*>(lock), LockFamilyShared, caller, old_irql);
  Shared::WaitAndAcquireShared(WordOf(lock));
  KiEndSpin(&record);
}

}  // extern "C"

namespace {

FORCEINLINE void AcquireExclusive(PEX_SPIN_LOCK lock, PVOID caller, ULONG old_irql) {
  switch (Shared::BeginExclusive(WordOf(lock))) {
    case Shared::Begin::kAcquired:
      KiTraceAcquire(lock, LockFamilyExclusive, caller);
      return;
    case Shared::Begin::kClaimed:
      return ExpWaitForSpinLockExclusiveAndAcquire(lock, TRUE, caller, old_irql);
    case Shared::Begin::kTaken:
      return ExpWaitForSpinLockExclusiveAndAcquire(lock, FALSE, caller, old_irql);
  }
}

FORCEINLINE void AcquireShared(PEX_SPIN_LOCK lock, PVOID caller, ULONG old_irql) {
  if (Shared::TryAcquireShared(WordOf(lock))) {
    KiTraceAcquire(lock, LockFamilyShared, caller);
  } else {
    ExpWaitForSpinLockSharedAndAcquire(lock, caller, old_irql);
  }
}

FORCEINLINE void ReleaseExclusive(PEX_SPIN_LOCK lock) {
  KiTraceRelease(lock, LockFamilyExclusive);
  Shared::ReleaseExclusive(WordOf(lock));
}

FORCEINLINE void ReleaseShared(PEX_SPIN_LOCK lock) {
  KiTraceRelease(lock, LockFamilyShared);
  Shared::ReleaseShared(WordOf(lock));
}

}  // namespace

extern "C" {

/// Raises to DISPATCH_LEVEL and takes the lock for one writer. Returns the old IRQL.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none; the acquisition is recorded in the lock trace.
/// Source: WDK wdm/ExAcquireSpinLockExclusive.
NT_EXPORT(ExAcquireSpinLockExclusive, nt::AtMost(DISPATCH_LEVEL), Full, "ExSpinLock.* StressSharedLock.*");
KIRQL NTAPI ExAcquireSpinLockExclusive(PEX_SPIN_LOCK SpinLock) {
  const KIRQL old_irql = RaiseToDispatch();
  AcquireExclusive(SpinLock, __builtin_return_address(0), old_irql);
  return old_irql;
}

/// Takes the lock for one writer, at the present IRQL.
/// IRQL: >= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExAcquireSpinLockExclusiveAtDpcLevel.
NT_EXPORT(ExAcquireSpinLockExclusiveAtDpcLevel, nt::Between(DISPATCH_LEVEL, 15), Full, "ExSpinLock.*");
VOID NTAPI ExAcquireSpinLockExclusiveAtDpcLevel(PEX_SPIN_LOCK SpinLock) {
  AcquireExclusive(SpinLock, __builtin_return_address(0), Irql());
}

/// Takes the lock for one writer if nobody has it; never spins. TRUE: the lock is the caller's.
/// IRQL: >= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm header: ExTryAcquireSpinLockExclusiveAtDpcLevel.
NT_EXPORT(ExTryAcquireSpinLockExclusiveAtDpcLevel, nt::Between(DISPATCH_LEVEL, 15), Full, "ExSpinLock.Try*");
LOGICAL NTAPI ExTryAcquireSpinLockExclusiveAtDpcLevel(PEX_SPIN_LOCK SpinLock) {
  if (!Shared::TryAcquireExclusive(WordOf(SpinLock))) return FALSE;
  KiTraceAcquire(SpinLock, LockFamilyExclusive, __builtin_return_address(0));
  return TRUE;
}

/// Gives a writer's lock back and sets the IRQL.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReleaseSpinLockExclusive.
NT_EXPORT(ExReleaseSpinLockExclusive, nt::Exactly(DISPATCH_LEVEL), Full, "ExSpinLock.* StressSharedLock.*");
VOID NTAPI ExReleaseSpinLockExclusive(PEX_SPIN_LOCK SpinLock, KIRQL OldIrql) {
  ReleaseExclusive(SpinLock);
  __writecr8(OldIrql);
}

/// Gives a writer's lock back; the IRQL stays.
/// IRQL: >= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReleaseSpinLockExclusiveFromDpcLevel.
NT_EXPORT(ExReleaseSpinLockExclusiveFromDpcLevel, nt::Between(DISPATCH_LEVEL, 15), Full, "ExSpinLock.*");
VOID NTAPI ExReleaseSpinLockExclusiveFromDpcLevel(PEX_SPIN_LOCK SpinLock) {
  ReleaseExclusive(SpinLock);
}

/// Raises to DISPATCH_LEVEL and takes the lock for a reader; other readers may have it too. Returns the old
/// IRQL.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none; the acquisition is recorded in the lock trace.
/// Source: WDK wdm/ExAcquireSpinLockShared.
NT_EXPORT(ExAcquireSpinLockShared, nt::AtMost(DISPATCH_LEVEL), Full, "ExSpinLock.* StressSharedLock.*");
KIRQL NTAPI ExAcquireSpinLockShared(PEX_SPIN_LOCK SpinLock) {
  const KIRQL old_irql = RaiseToDispatch();
  AcquireShared(SpinLock, __builtin_return_address(0), old_irql);
  return old_irql;
}

/// Takes the lock for a reader, at the present IRQL.
/// IRQL: >= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExAcquireSpinLockSharedAtDpcLevel.
NT_EXPORT(ExAcquireSpinLockSharedAtDpcLevel, nt::Between(DISPATCH_LEVEL, 15), Full, "ExSpinLock.*");
VOID NTAPI ExAcquireSpinLockSharedAtDpcLevel(PEX_SPIN_LOCK SpinLock) {
  AcquireShared(SpinLock, __builtin_return_address(0), Irql());
}

/// Takes the lock for a reader if no writer has it or waits for it; never spins. TRUE: the lock is the
/// caller's.
/// IRQL: >= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm header: ExTryAcquireSpinLockSharedAtDpcLevel.
NT_EXPORT(ExTryAcquireSpinLockSharedAtDpcLevel, nt::Between(DISPATCH_LEVEL, 15), Full, "ExSpinLock.Try*");
LOGICAL NTAPI ExTryAcquireSpinLockSharedAtDpcLevel(PEX_SPIN_LOCK SpinLock) {
  if (!Shared::TryAcquireShared(WordOf(SpinLock))) return FALSE;
  KiTraceAcquire(SpinLock, LockFamilyShared, __builtin_return_address(0));
  return TRUE;
}

/// Gives a reader's lock back and sets the IRQL.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReleaseSpinLockShared.
NT_EXPORT(ExReleaseSpinLockShared, nt::Exactly(DISPATCH_LEVEL), Full, "ExSpinLock.* StressSharedLock.*");
VOID NTAPI ExReleaseSpinLockShared(PEX_SPIN_LOCK SpinLock, KIRQL OldIrql) {
  ReleaseShared(SpinLock);
  __writecr8(OldIrql);
}

/// Gives a reader's lock back; the IRQL stays.
/// IRQL: >= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReleaseSpinLockSharedFromDpcLevel.
NT_EXPORT(ExReleaseSpinLockSharedFromDpcLevel, nt::Between(DISPATCH_LEVEL, 15), Full, "ExSpinLock.*");
VOID NTAPI ExReleaseSpinLockSharedFromDpcLevel(PEX_SPIN_LOCK SpinLock) {
  ReleaseShared(SpinLock);
}

/// Makes a writer of the caller, who holds the lock as its only reader. FALSE: there are other readers, or a
/// writer waits; the caller still is a reader.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExTryConvertSharedSpinLockExclusive.
NT_EXPORT(ExTryConvertSharedSpinLockExclusive, nt::Exactly(DISPATCH_LEVEL), Full, "ExSpinLock.Convert*");
LOGICAL NTAPI ExTryConvertSharedSpinLockExclusive(PEX_SPIN_LOCK SpinLock) {
  if (!Shared::TryConvert(WordOf(SpinLock))) return FALSE;
  KiTraceRelease(SpinLock, LockFamilyShared);
  KiTraceAcquire(SpinLock, LockFamilyExclusive, __builtin_return_address(0));
  return TRUE;
}

}  // extern "C"
