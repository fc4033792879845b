// IRQL, locks and waits of verified drivers: automatic checks (0xC4, 0x30 to 0x42, 0x80), forced IRQL
// checking, the order of locks.
#include "ex/pool_types.h"
#include "mm/mm.h"
#include "nt/kpcr.h"
#include "verifier.h"

namespace vf {

// What went in or out of memory since the last trim; nothing did, nothing is to be trimmed.
static ULONG64 PagingActivity() {
  ULONG64 sum =
      ExpPoolDescriptors[EXP_POOL_PAGED].TotalPages + ExpPoolDescriptors[EXP_POOL_PAGED].TotalBigPages;
  for (PKPRCB prcb : KiProcessorBlock) {
    if (prcb != nullptr) sum += prcb->PageFaultCount;
  }
  return sum;
}

void TrimBeforeRaise(KIRQL now, KIRQL next, PVOID caller) {
  if (!IsOn(DRIVER_VERIFIER_FORCE_IRQL_CHECKING) || now >= DISPATCH_LEVEL || next < DISPATCH_LEVEL) return;
  __atomic_fetch_add(&MmVerifierData.TrimRequests, 1, __ATOMIC_RELAXED);
  static ULONG64 last_activity;
  const ULONG64 activity = PagingActivity();
  if (activity == __atomic_load_n(&last_activity, __ATOMIC_RELAXED)) return;
  __atomic_store_n(&last_activity, activity, __ATOMIC_RELAXED);
  __atomic_fetch_add(&MmVerifierData.Trims, 1, __ATOMIC_RELAXED);
  MmTrimPageableImages();
  MmTrimPagedPool();
}

namespace {

constexpr ULONG kRaise = 0x30, kLower = 0x31, kReleaseNotAtDispatch = 0x32, kFastMutexAcquire = 0x33,
                kFastMutexRelease = 0x34, kAtDpcBelow = 0x40, kFromDpcBelow = 0x41, kAcquireAbove = 0x42,
                kUnsafeAcquire = 0x39, kUnsafeRelease = 0x3A, kPushLockAcquire = 0xEA,
                kPushLockRelease = 0xEB;
#define CALLER __builtin_return_address(0)

[[noreturn]] FORCEINLINE void Violation(ULONG kind, ULONG_PTR p2, ULONG_PTR p3, ULONG_PTR p4) {
  VerifierBugCheckIfAppropriate(kViolation, kind, p2, p3, p4);
}

// The lock trace names who holds a lock: the driver, not the routine in between.
void NameHolder(PVOID lock, PVOID caller) {
  PKPRCB prcb = KeGetCurrentPrcb();
  const ULONG newest = static_cast<UCHAR>(prcb->LockStackIndex - 2) / 2;
  if (prcb->LockStack[newest].Lock == lock) prcb->LockStack[newest].CallerAddress = caller;
}

void Acquiring(PVOID lock, LockKind kind, PVOID caller) {
  if (IsOn(DRIVER_VERIFIER_DEADLOCK_DETECTION)) DeadlockAcquired(lock, kind, caller);
}
void Releasing(PVOID lock, LockKind kind, PVOID caller) {
  if (IsOn(DRIVER_VERIFIER_DEADLOCK_DETECTION)) DeadlockReleased(lock, kind, caller);
}

void CountSpinLock(PVOID caller) {
  __atomic_fetch_add(&MmVerifierData.AcquireSpinLocks, 1, __ATOMIC_RELAXED);
  if (PVF_SUSPECT_DRIVER_ENTRY driver = DriverOf(caller))
    __atomic_fetch_add(&driver->VerifierData.AcquireSpinLocks, 1, __ATOMIC_RELAXED);
}

FORCEINLINE void CheckAcquire(PVOID lock) {
  const KIRQL irql = KeGetCurrentIrql();
  if (irql > DISPATCH_LEVEL) Violation(kAcquireAbove, irql, Bits(lock), 0);
}
FORCEINLINE void CheckAtDispatch(ULONG kind, PVOID lock, ULONG_PTR p4 = 0) {
  const KIRQL irql = KeGetCurrentIrql();
  if (irql < DISPATCH_LEVEL || (kind == kReleaseNotAtDispatch && irql != DISPATCH_LEVEL))
    Violation(kind, irql, Bits(lock), p4);
}
FORCEINLINE void CheckRaise(KIRQL next) {
  const KIRQL irql = KeGetCurrentIrql();
  if (next < irql || next > HIGH_LEVEL) Violation(kRaise, irql, next, 0);
}

// Whoever takes an "unsafe" lock has to have APCs off already.
FORCEINLINE void CheckUnsafe(ULONG kind, PFAST_MUTEX mutex) {
  const KIRQL irql = KeGetCurrentIrql();
  const ULONG apcs = KeGetCurrentThread()->CombinedApcDisable;
  if (irql > APC_LEVEL || (irql == PASSIVE_LEVEL && apcs == 0)) Violation(kind, irql, apcs, Bits(mutex));
}
FORCEINLINE void CheckPushLock(ULONG kind, PEX_PUSH_LOCK lock) {
  const KIRQL irql = KeGetCurrentIrql();
  const ULONG apcs = KeGetCurrentThread()->CombinedApcDisable;
  if (irql == PASSIVE_LEVEL && apcs == 0) Violation(kind, irql, apcs, Bits(lock));
}

// The rules SpinLock and QueuedSpinLock: a lock that this processor has must be released before it is taken
// again; and their stricter halves: only a lock that is taken can be released.
FORCEINLINE void CheckRuleAcquire(PKSPIN_LOCK lock, LockKind kind) {
  if (IsOn(DRIVER_VERIFIER_DDI_COMPLIANCE) && KeGetCurrentIrql() >= DISPATCH_LEVEL && HeldHere(lock))
    RuleViolation(kind == LockKind::kSpinLock ? kRuleSpinLock : kRuleQueuedSpinLock, Bits(lock));
}
FORCEINLINE void CheckRuleRelease(PVOID lock, LockKind kind) {
  if (IsOn(kDdiAdditional) && (*static_cast<volatile KSPIN_LOCK*>(lock) == 0))
    RuleViolation(kind == LockKind::kSpinLock ? kRuleSpinLockRelease : kRuleQueuedSpinLockRelease,
                  Bits(lock));
}

PVOID LockOf(PKLOCK_QUEUE_HANDLE handle) {
  return reinterpret_cast<PVOID>(Bits(handle->LockQueue.Lock) & ~ULONG_PTR{3});
}

}  // namespace

extern "C" {

KIRQL NTAPI VerifierKfRaiseIrql(KIRQL NewIrql) {
  CheckRaise(NewIrql);
  TrimBeforeRaise(KeGetCurrentIrql(), NewIrql, CALLER);
  __atomic_fetch_add(&MmVerifierData.RaiseIrqls, 1, __ATOMIC_RELAXED);
  return KfRaiseIrql(NewIrql);
}

VOID NTAPI VerifierKeLowerIrql(KIRQL NewIrql) {
  const KIRQL irql = KeGetCurrentIrql();
  if (NewIrql > irql || NewIrql > HIGH_LEVEL) Violation(kLower, irql, NewIrql, 0);
  if (NewIrql < DISPATCH_LEVEL && KeGetCurrentPrcb()->DpcRoutineActive) Violation(kLower, irql, NewIrql, 1);
  KeLowerIrql(NewIrql);
}

KIRQL NTAPI VerifierKeRaiseIrqlToDpcLevel() {
  CheckRaise(DISPATCH_LEVEL);
  TrimBeforeRaise(KeGetCurrentIrql(), DISPATCH_LEVEL, CALLER);
  __atomic_fetch_add(&MmVerifierData.RaiseIrqls, 1, __ATOMIC_RELAXED);
  return KeRaiseIrqlToDpcLevel();
}

KIRQL NTAPI VerifierKeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK SpinLock) {
  CheckAcquire(SpinLock);
  TrimBeforeRaise(KeGetCurrentIrql(), DISPATCH_LEVEL, CALLER);
  CountSpinLock(CALLER);
  CheckRuleAcquire(SpinLock, LockKind::kSpinLock);
  Acquiring(SpinLock, LockKind::kSpinLock, CALLER);
  const KIRQL old = KeAcquireSpinLockRaiseToDpc(SpinLock);
  NameHolder(SpinLock, CALLER);
  return old;
}

VOID NTAPI VerifierKeReleaseSpinLock(PKSPIN_LOCK SpinLock, KIRQL NewIrql) {
  CheckAtDispatch(kReleaseNotAtDispatch, SpinLock);
  CheckRuleRelease(SpinLock, LockKind::kSpinLock);
  Releasing(SpinLock, LockKind::kSpinLock, CALLER);
  KeReleaseSpinLock(SpinLock, NewIrql);
}

VOID NTAPI VerifierKeAcquireSpinLockAtDpcLevel(PKSPIN_LOCK SpinLock) {
  CheckAtDispatch(kAtDpcBelow, SpinLock);
  CountSpinLock(CALLER);
  CheckRuleAcquire(SpinLock, LockKind::kSpinLock);
  Acquiring(SpinLock, LockKind::kSpinLock, CALLER);
  KeAcquireSpinLockAtDpcLevel(SpinLock);
  NameHolder(SpinLock, CALLER);
}

BOOLEAN FASTCALL VerifierKeTryToAcquireSpinLockAtDpcLevel(PKSPIN_LOCK SpinLock) {
  CheckAtDispatch(kAtDpcBelow, SpinLock);
  if (!KeTryToAcquireSpinLockAtDpcLevel(SpinLock)) return FALSE;
  CountSpinLock(CALLER);
  Acquiring(SpinLock, LockKind::kSpinLock, CALLER);
  NameHolder(SpinLock, CALLER);
  return TRUE;
}

VOID NTAPI VerifierKeReleaseSpinLockFromDpcLevel(PKSPIN_LOCK SpinLock) {
  CheckAtDispatch(kFromDpcBelow, SpinLock);
  CheckRuleRelease(SpinLock, LockKind::kSpinLock);
  Releasing(SpinLock, LockKind::kSpinLock, CALLER);
  KeReleaseSpinLockFromDpcLevel(SpinLock);
}

VOID FASTCALL VerifierKeAcquireInStackQueuedSpinLock(PKSPIN_LOCK SpinLock, PKLOCK_QUEUE_HANDLE LockHandle) {
  CheckAcquire(SpinLock);
  TrimBeforeRaise(KeGetCurrentIrql(), DISPATCH_LEVEL, CALLER);
  CountSpinLock(CALLER);
  CheckRuleAcquire(SpinLock, LockKind::kQueuedSpinLock);
  Acquiring(SpinLock, LockKind::kQueuedSpinLock, CALLER);
  KeAcquireInStackQueuedSpinLock(SpinLock, LockHandle);
  NameHolder(SpinLock, CALLER);
}

VOID FASTCALL VerifierKeReleaseInStackQueuedSpinLock(PKLOCK_QUEUE_HANDLE LockHandle) {
  CheckAtDispatch(kReleaseNotAtDispatch, LockOf(LockHandle));
  CheckRuleRelease(LockOf(LockHandle), LockKind::kQueuedSpinLock);
  Releasing(LockOf(LockHandle), LockKind::kQueuedSpinLock, CALLER);
  KeReleaseInStackQueuedSpinLock(LockHandle);
}

VOID FASTCALL VerifierKeAcquireInStackQueuedSpinLockAtDpcLevel(PKSPIN_LOCK SpinLock,
                                                               PKLOCK_QUEUE_HANDLE LockHandle) {
  CheckAtDispatch(kAtDpcBelow, SpinLock);
  CountSpinLock(CALLER);
  CheckRuleAcquire(SpinLock, LockKind::kQueuedSpinLock);
  Acquiring(SpinLock, LockKind::kQueuedSpinLock, CALLER);
  KeAcquireInStackQueuedSpinLockAtDpcLevel(SpinLock, LockHandle);
  NameHolder(SpinLock, CALLER);
}

VOID FASTCALL VerifierKeReleaseInStackQueuedSpinLockFromDpcLevel(PKLOCK_QUEUE_HANDLE LockHandle) {
  CheckAtDispatch(kFromDpcBelow, LockOf(LockHandle));
  CheckRuleRelease(LockOf(LockHandle), LockKind::kQueuedSpinLock);
  Releasing(LockOf(LockHandle), LockKind::kQueuedSpinLock, CALLER);
  KeReleaseInStackQueuedSpinLockFromDpcLevel(LockHandle);
}

VOID FASTCALL VerifierExAcquireFastMutex(PFAST_MUTEX FastMutex) {
  const KIRQL irql = KeGetCurrentIrql();
  if (irql > APC_LEVEL) Violation(kFastMutexAcquire, irql, Bits(FastMutex), 0);
  Acquiring(FastMutex, LockKind::kFastMutex, CALLER);
  ExAcquireFastMutex(FastMutex);
}

BOOLEAN FASTCALL VerifierExTryToAcquireFastMutex(PFAST_MUTEX FastMutex) {
  const KIRQL irql = KeGetCurrentIrql();
  if (irql > APC_LEVEL) Violation(kFastMutexAcquire, irql, Bits(FastMutex), 0);
  const BOOLEAN taken = ExTryToAcquireFastMutex(FastMutex);
  if (taken) Acquiring(FastMutex, LockKind::kFastMutex, CALLER);
  return taken;
}

VOID FASTCALL VerifierExReleaseFastMutex(PFAST_MUTEX FastMutex) {
  const KIRQL irql = KeGetCurrentIrql();
  if (irql != APC_LEVEL)
    Violation(kFastMutexRelease, irql, KeGetCurrentThread()->CombinedApcDisable, Bits(FastMutex));
  Releasing(FastMutex, LockKind::kFastMutex, CALLER);
  ExReleaseFastMutex(FastMutex);
}

VOID FASTCALL VerifierExAcquireFastMutexUnsafe(PFAST_MUTEX FastMutex) {
  CheckUnsafe(kUnsafeAcquire, FastMutex);
  Acquiring(FastMutex, LockKind::kUnsafeFastMutex, CALLER);
  ExAcquireFastMutexUnsafe(FastMutex);
}

VOID FASTCALL VerifierExReleaseFastMutexUnsafe(PFAST_MUTEX FastMutex) {
  CheckUnsafe(kUnsafeRelease, FastMutex);
  Releasing(FastMutex, LockKind::kUnsafeFastMutex, CALLER);
  ExReleaseFastMutexUnsafe(FastMutex);
}

#define VF_PUSH_LOCK(Result, Name, Kind)                                \
  Result FASTCALL Verifier##Name(PEX_PUSH_LOCK PushLock, ULONG Flags) { \
    CheckPushLock(Kind, PushLock);                                      \
    return Name(PushLock, Flags);                                       \
  }
VF_PUSH_LOCK(VOID, ExAcquirePushLockExclusiveEx, kPushLockAcquire)
VF_PUSH_LOCK(VOID, ExAcquirePushLockSharedEx, kPushLockAcquire)
VF_PUSH_LOCK(VOID, ExReleasePushLockExclusiveEx, kPushLockRelease)
VF_PUSH_LOCK(VOID, ExReleasePushLockSharedEx, kPushLockRelease)
VF_PUSH_LOCK(VOID, ExReleasePushLockEx, kPushLockRelease)

BOOLEAN NTAPI VerifierKeSynchronizeExecution(PKINTERRUPT Interrupt, PKSYNCHRONIZE_ROUTINE Routine,
                                             PVOID Context) {
  TrimBeforeRaise(KeGetCurrentIrql(), HIGH_LEVEL, CALLER);
  __atomic_fetch_add(&MmVerifierData.SynchronizeExecutions, 1, __ATOMIC_RELAXED);
  return KeSynchronizeExecution(Interrupt, Routine, Context);
}

}  // extern "C"

namespace {

#define VF_THUNK(Name) {#Name, reinterpret_cast<PVOID>(&Verifier##Name), 0}
const Thunk kThunks[] = {
    VF_THUNK(KfRaiseIrql),
    VF_THUNK(KeLowerIrql),
    VF_THUNK(KeRaiseIrqlToDpcLevel),
    VF_THUNK(KeAcquireSpinLockRaiseToDpc),
    VF_THUNK(KeReleaseSpinLock),
    VF_THUNK(KeAcquireSpinLockAtDpcLevel),
    VF_THUNK(KeTryToAcquireSpinLockAtDpcLevel),
    VF_THUNK(KeReleaseSpinLockFromDpcLevel),
    VF_THUNK(KeAcquireInStackQueuedSpinLock),
    VF_THUNK(KeReleaseInStackQueuedSpinLock),
    VF_THUNK(KeAcquireInStackQueuedSpinLockAtDpcLevel),
    VF_THUNK(KeReleaseInStackQueuedSpinLockFromDpcLevel),
    VF_THUNK(ExAcquireFastMutex),
    VF_THUNK(ExTryToAcquireFastMutex),
    VF_THUNK(ExReleaseFastMutex),
    VF_THUNK(ExAcquireFastMutexUnsafe),
    VF_THUNK(ExReleaseFastMutexUnsafe),
    VF_THUNK(ExAcquirePushLockExclusiveEx),
    VF_THUNK(ExAcquirePushLockSharedEx),
    VF_THUNK(ExReleasePushLockExclusiveEx),
    VF_THUNK(ExReleasePushLockSharedEx),
    VF_THUNK(ExReleasePushLockEx),
    VF_THUNK(KeSynchronizeExecution),
};

}  // namespace

const ThunkTable kLockThunks = {kThunks, ARRAYSIZE(kThunks)};

}  // namespace vf
