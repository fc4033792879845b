// What a checked build of Windows asserts about plain spin locks, for all drivers of a machine that was
// started with checked-spin-locks=1: bug checks 8, F and 10. Their imports lead here (verifier.cpp).
#include "ke/bugcheck.h"
#include "ke/lock_trace.h"
#include "verifier.h"

namespace vf {
namespace {

#define CALLER __builtin_return_address(0)

void NeedDispatchLevel() {
  if (KeGetCurrentIrql() < DISPATCH_LEVEL) KeBugCheckEx(IRQL_NOT_DISPATCH_LEVEL, 0, 0, 0, 0);
}

void NotOwned(PKSPIN_LOCK lock) {
  if (KeGetCurrentIrql() < DISPATCH_LEVEL || !HeldHere(lock)) return;
  KeBugCheckEx(SPIN_LOCK_ALREADY_OWNED, reinterpret_cast<ULONG_PTR>(lock), 0, 0, 0);
}

void Owned(PKSPIN_LOCK lock) {
  if ((*static_cast<volatile KSPIN_LOCK*>(lock) & 1) == 0)
    KeBugCheckEx(SPIN_LOCK_NOT_OWNED, reinterpret_cast<ULONG_PTR>(lock), 0, 0, 0);
}

}  // namespace

bool HeldHere(PKSPIN_LOCK lock) {
  if (*static_cast<volatile KSPIN_LOCK*>(lock) == 0) return false;
  PKPRCB prcb = KeGetCurrentPrcb();
  KiResolveLockTrace(prcb);
  for (const KLOCK_TRACE_ENTRY& entry : prcb->LockTrace) {
    if (entry.Lock == lock && entry.Kind == LockTraceHeld) return true;
  }
  return false;
}

bool FindHeldLock(PVOID start, PVOID end, HeldLock* held) {
  PKPRCB prcb = KeGetCurrentPrcb();
  KiResolveLockTrace(prcb);
  for (const KLOCK_TRACE_ENTRY& entry : prcb->LockTrace) {
    if (entry.Lock == nullptr || entry.Kind != LockTraceHeld) continue;
    if (entry.CallerAddress < start || entry.CallerAddress >= end) continue;
    *held = {entry.Lock, entry.Family != LockFamilyPlain};
    return true;
  }
  return false;
}

extern "C" {

KIRQL NTAPI KiCheckedAcquireSpinLockRaiseToDpc(PKSPIN_LOCK SpinLock) {
  NotOwned(SpinLock);
  return KiAcquireSpinLockFor(SpinLock, DISPATCH_LEVEL, CALLER);
}

VOID NTAPI KiCheckedAcquireSpinLockAtDpcLevel(PKSPIN_LOCK SpinLock) {
  NeedDispatchLevel();
  NotOwned(SpinLock);
  KiAcquireSpinLockFor(SpinLock, KeGetCurrentIrql(), CALLER);
}

VOID NTAPI KiCheckedReleaseSpinLock(PKSPIN_LOCK SpinLock, KIRQL NewIrql) {
  NeedDispatchLevel();
  Owned(SpinLock);
  KeReleaseSpinLock(SpinLock, NewIrql);
}

VOID NTAPI KiCheckedReleaseSpinLockFromDpcLevel(PKSPIN_LOCK SpinLock) {
  NeedDispatchLevel();
  Owned(SpinLock);
  KeReleaseSpinLockFromDpcLevel(SpinLock);
}

}  // extern "C"

namespace {

#define CHECKED_THUNK(Name, Replacement) {#Name, reinterpret_cast<PVOID>(Replacement), 0}
const Thunk kThunks[] = {
    CHECKED_THUNK(KeAcquireSpinLockRaiseToDpc, KiCheckedAcquireSpinLockRaiseToDpc),
    CHECKED_THUNK(KeAcquireSpinLockAtDpcLevel, KiCheckedAcquireSpinLockAtDpcLevel),
    CHECKED_THUNK(KeReleaseSpinLock, KiCheckedReleaseSpinLock),
    CHECKED_THUNK(KeReleaseSpinLockFromDpcLevel, KiCheckedReleaseSpinLockFromDpcLevel),
};

}  // namespace

const ThunkTable kCheckedThunks = {kThunks, ARRAYSIZE(kThunks)};

}  // namespace vf
