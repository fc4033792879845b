// Plain spin locks. The routines of the hot path are in arch/x64/spin_lock.S; here are their pages, and the
// rest.
//
// Misuse: a free build of Windows checks nothing here, and neither do these. A lock that is taken twice hangs
// the processor, which its watchdogs report (0x133, 0x101); a lock that is released twice or by a stranger is
// simply free. SPIN_LOCK_ALREADY_OWNED (0xF) and SPIN_LOCK_NOT_OWNED (0x10) came from checked builds; under
// Driver Verifier a release at the wrong IRQL is 0xC4.
#include "ke_internal.h"
#include "ktl/plain_spin_lock.h"
#include "nt/export.h"

namespace {

constexpr KIRQL kSynchLevel = 12;

}  // namespace

extern "C" {

KIRQL KiAcquireSpinLockFor(PKSPIN_LOCK lock, KIRQL level, PVOID caller) {
  const auto old_irql = static_cast<KIRQL>(arch::ReadCr8());
  arch::WriteCr8(level);
  if (ktl::PlainSpinLock<KiSpinPolicy>::TryAcquire(lock)) {
    KiTraceAcquire(lock, LockFamilyPlain, caller);
  } else {
    KxWaitForSpinLockAndAcquire(lock, caller, old_irql);
  }
  return old_irql;
}

/// Raises to DISPATCH_LEVEL, then takes the lock, spinning as long as it takes. Returns the old IRQL.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none; the acquisition is recorded in the lock trace.
/// Source: WDK wdm/KeAcquireSpinLock (the macro becomes this).
NT_EXPORT(KeAcquireSpinLockRaiseToDpc, nt::AtMost(DISPATCH_LEVEL), Full,
          "KeSpinLock.* KeSpinLockFamilies.Plain*");

/// Takes the lock at the present IRQL, which must be DISPATCH_LEVEL or more.
/// IRQL: >= DISPATCH_LEVEL.
/// Differs from NT: none; the acquisition is recorded in the lock trace.
/// Source: WDK wdm/KeAcquireSpinLockAtDpcLevel.
NT_EXPORT(KeAcquireSpinLockAtDpcLevel, nt::Between(DISPATCH_LEVEL, 15), Full,
          "KeSpinLock.* KeSpinLockFamilies.Plain*");

/// Takes the lock if it is free; never spins. TRUE: the lock is the caller's.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none; the acquisition is recorded in the lock trace.
/// Source: WDK wdm/KeTryToAcquireSpinLockAtDpcLevel.
NT_EXPORT(KeTryToAcquireSpinLockAtDpcLevel, nt::Exactly(DISPATCH_LEVEL), Full,
          "KeSpinLock.* KeSpinLockFamilies.Plain*");

/// Gives the lock back and sets the IRQL.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeReleaseSpinLock.
NT_EXPORT(KeReleaseSpinLock, nt::Exactly(DISPATCH_LEVEL), Full, "KeSpinLock.* KeSpinLockFamilies.Plain*");

/// Gives the lock back; the IRQL stays.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeReleaseSpinLockFromDpcLevel.
NT_EXPORT(KeReleaseSpinLockFromDpcLevel, nt::Exactly(DISPATCH_LEVEL), Full,
          "KeSpinLock.* KeSpinLockFamilies.Plain*");

/// Prepares a lock: free.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeInitializeSpinLock.
NT_EXPORT(KeInitializeSpinLock, nt::AnyIrql(), Full, "KeSpinLock.* KeSpinLockFamilies.Plain*");
VOID NTAPI KeInitializeSpinLock(PKSPIN_LOCK SpinLock) {
  *SpinLock = 0;
}

/// TRUE when the lock is free.
/// IRQL: any; of use at DISPATCH_LEVEL and above.
/// Differs from NT: none.
/// Source: WDK wdm/KeTestSpinLock.
NT_EXPORT(KeTestSpinLock, nt::AnyIrql(), Full, "KeSpinLock.* KeSpinLockFamilies.Plain*");
BOOLEAN NTAPI KeTestSpinLock(PKSPIN_LOCK SpinLock) {
  if ((__atomic_load_n(SpinLock, __ATOMIC_ACQUIRE) & 1) == 0) return TRUE;
  arch::Pause();
  return FALSE;
}

/// Takes the lock for a DPC that may be threaded: raises to DISPATCH_LEVEL where it runs below. Returns the
/// old IRQL.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeAcquireSpinLockForDpc.
NT_EXPORT(KeAcquireSpinLockForDpc, nt::AtMost(DISPATCH_LEVEL), Full, "KeSpinLockFamilies.PlainForDpc*");
KIRQL NTAPI KeAcquireSpinLockForDpc(PKSPIN_LOCK SpinLock) {
  return KiAcquireSpinLockFor(SpinLock, DISPATCH_LEVEL, __builtin_return_address(0));
}

/// Gives back what KeAcquireSpinLockForDpc took.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeReleaseSpinLockForDpc.
NT_EXPORT(KeReleaseSpinLockForDpc, nt::Exactly(DISPATCH_LEVEL), Full, "KeSpinLockFamilies.PlainForDpc*");
VOID NTAPI KeReleaseSpinLockForDpc(PKSPIN_LOCK SpinLock, KIRQL OldIrql) {
  KeReleaseSpinLock(SpinLock, OldIrql);
}

/// Raises to SYNCH_LEVEL (12), then takes the lock. Returns the old IRQL; KeReleaseSpinLock gives the lock
/// back.
/// IRQL: <= SYNCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs header: KeAcquireSpinLockRaiseToSynch.
NT_EXPORT(KeAcquireSpinLockRaiseToSynch, nt::AtMost(kSynchLevel), Full,
          "KeSpinLockFamilies.PlainRaiseToSynch*");
KIRQL NTAPI KeAcquireSpinLockRaiseToSynch(PKSPIN_LOCK SpinLock) {
  return KiAcquireSpinLockFor(SpinLock, kSynchLevel, __builtin_return_address(0));
}

/// KeAcquireSpinLockAtDpcLevel by the name that 32-bit Windows exports.
/// IRQL: >= DISPATCH_LEVEL.
/// Differs from NT: 64-bit Windows has no export of this name.
/// Source: WDK wdm header: the macro KeAcquireSpinLockAtDpcLevel of 32-bit builds.
NT_EXPORT(KefAcquireSpinLockAtDpcLevel, nt::Between(DISPATCH_LEVEL, 15), Partial,
          "KeSpinLockFamilies.PlainAliases*");

/// KeReleaseSpinLockFromDpcLevel by the name that 32-bit Windows exports.
/// IRQL: >= DISPATCH_LEVEL.
/// Differs from NT: 64-bit Windows has no export of this name.
/// Source: WDK wdm header: the macro KeReleaseSpinLockFromDpcLevel of 32-bit builds.
NT_EXPORT(KefReleaseSpinLockFromDpcLevel, nt::Between(DISPATCH_LEVEL, 15), Partial,
          "KeSpinLockFamilies.PlainAliases*");

}  // extern "C"
