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
                kFastMutexRelease = 0x34, kResourceAcquire = 0x37, kResourceRelease = 0x38, kWait = 0x3B,
                kUnalignedResource = 0x3D, kNotInCriticalRegion = 0x3E, kAtDpcBelow = 0x40,
                kFromDpcBelow = 0x41, kAcquireAbove = 0x42, kSetEventAbove = 0x80;
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
  Acquiring(SpinLock, LockKind::kSpinLock, CALLER);
  const KIRQL old = KeAcquireSpinLockRaiseToDpc(SpinLock);
  NameHolder(SpinLock, CALLER);
  return old;
}

VOID NTAPI VerifierKeReleaseSpinLock(PKSPIN_LOCK SpinLock, KIRQL NewIrql) {
  CheckAtDispatch(kReleaseNotAtDispatch, SpinLock);
  Releasing(SpinLock, LockKind::kSpinLock, CALLER);
  KeReleaseSpinLock(SpinLock, NewIrql);
}

VOID NTAPI VerifierKeAcquireSpinLockAtDpcLevel(PKSPIN_LOCK SpinLock) {
  CheckAtDispatch(kAtDpcBelow, SpinLock);
  CountSpinLock(CALLER);
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
  Releasing(SpinLock, LockKind::kSpinLock, CALLER);
  KeReleaseSpinLockFromDpcLevel(SpinLock);
}

VOID FASTCALL VerifierKeAcquireInStackQueuedSpinLock(PKSPIN_LOCK SpinLock, PKLOCK_QUEUE_HANDLE LockHandle) {
  CheckAcquire(SpinLock);
  TrimBeforeRaise(KeGetCurrentIrql(), DISPATCH_LEVEL, CALLER);
  CountSpinLock(CALLER);
  Acquiring(SpinLock, LockKind::kSpinLock, CALLER);
  KeAcquireInStackQueuedSpinLock(SpinLock, LockHandle);
  NameHolder(SpinLock, CALLER);
}

VOID FASTCALL VerifierKeReleaseInStackQueuedSpinLock(PKLOCK_QUEUE_HANDLE LockHandle) {
  CheckAtDispatch(kReleaseNotAtDispatch, LockOf(LockHandle));
  Releasing(LockOf(LockHandle), LockKind::kSpinLock, CALLER);
  KeReleaseInStackQueuedSpinLock(LockHandle);
}

VOID FASTCALL VerifierKeAcquireInStackQueuedSpinLockAtDpcLevel(PKSPIN_LOCK SpinLock,
                                                               PKLOCK_QUEUE_HANDLE LockHandle) {
  CheckAtDispatch(kAtDpcBelow, SpinLock);
  CountSpinLock(CALLER);
  Acquiring(SpinLock, LockKind::kSpinLock, CALLER);
  KeAcquireInStackQueuedSpinLockAtDpcLevel(SpinLock, LockHandle);
  NameHolder(SpinLock, CALLER);
}

VOID FASTCALL VerifierKeReleaseInStackQueuedSpinLockFromDpcLevel(PKLOCK_QUEUE_HANDLE LockHandle) {
  CheckAtDispatch(kFromDpcBelow, LockOf(LockHandle));
  Releasing(LockOf(LockHandle), LockKind::kSpinLock, CALLER);
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

}  // extern "C"

namespace {

// Kernel APCs must be off around a resource, or the owner can be suspended holding it.
FORCEINLINE void CheckResource(ULONG kind, PERESOURCE resource) {
  if (Bits(resource) % sizeof(PVOID) != 0) Violation(kUnalignedResource, 0, 0, Bits(resource));
  const PKTHREAD thread = KeGetCurrentThread();
  const KIRQL irql = KeGetCurrentIrql();
  if (irql == PASSIVE_LEVEL && thread->CombinedApcDisable == 0) Violation(kind, irql, 0, Bits(resource));
}

FORCEINLINE void CheckWait(PVOID object, PLARGE_INTEGER timeout) {
  const KIRQL irql = KeGetCurrentIrql();
  const bool waits = timeout == nullptr || timeout->QuadPart != 0;
  if (irql > DISPATCH_LEVEL || (irql == DISPATCH_LEVEL && waits))
    Violation(kWait, irql, Bits(object), Bits(timeout));
}

constexpr UCHAR kMutantType = 2;
bool IsMutex(PVOID object) {
  return static_cast<PDISPATCHER_HEADER>(object)->Type == kMutantType;
}

}  // namespace

extern "C" {

BOOLEAN NTAPI VerifierExAcquireResourceExclusiveLite(PERESOURCE Resource, BOOLEAN Wait) {
  CheckResource(kResourceAcquire, Resource);
  return ExAcquireResourceExclusiveLite(Resource, Wait);
}

BOOLEAN NTAPI VerifierExAcquireResourceSharedLite(PERESOURCE Resource, BOOLEAN Wait) {
  CheckResource(kResourceAcquire, Resource);
  // Shared, then exclusive by the same thread: it would wait for itself.
  return ExAcquireResourceSharedLite(Resource, Wait);
}

VOID FASTCALL VerifierExReleaseResourceLite(PERESOURCE Resource) {
  CheckResource(kResourceRelease, Resource);
  ExReleaseResourceLite(Resource);
}

VOID NTAPI VerifierKeLeaveCriticalRegion() {
  if (KeGetCurrentThread()->KernelApcDisable == 0) Violation(kNotInCriticalRegion, 0, 0, 0);
  KeLeaveCriticalRegion();
}

LONG NTAPI VerifierKeSetEvent(PRKEVENT Event, KPRIORITY Increment, BOOLEAN Wait) {
  const KIRQL irql = KeGetCurrentIrql();
  if (irql > DISPATCH_LEVEL) Violation(kSetEventAbove, irql, Bits(Event), 0);
  return KeSetEvent(Event, Increment, Wait);
}

NTSTATUS NTAPI VerifierKeWaitForSingleObject(PVOID Object, KWAIT_REASON WaitReason, KPROCESSOR_MODE WaitMode,
                                             BOOLEAN Alertable, PLARGE_INTEGER Timeout) {
  CheckWait(Object, Timeout);
  if (Alertable && FailThisCall(CALLER)) return STATUS_ALERTED;
  const bool tracked = IsOn(DRIVER_VERIFIER_DEADLOCK_DETECTION) && IsMutex(Object);
  if (tracked && Timeout == nullptr) DeadlockAcquired(Object, LockKind::kMutex, CALLER);
  const NTSTATUS status = KeWaitForSingleObject(Object, WaitReason, WaitMode, Alertable, Timeout);
  if (!tracked) return status;
  if (Timeout != nullptr && status == STATUS_SUCCESS) DeadlockAcquired(Object, LockKind::kMutex, CALLER);
  if (Timeout == nullptr && status != STATUS_SUCCESS) DeadlockReleased(Object, LockKind::kMutex, CALLER);
  return status;
}

NTSTATUS NTAPI VerifierKeWaitForMultipleObjects(ULONG Count, PVOID Object[], WAIT_TYPE WaitType,
                                                KWAIT_REASON WaitReason, KPROCESSOR_MODE WaitMode,
                                                BOOLEAN Alertable, PLARGE_INTEGER Timeout,
                                                PKWAIT_BLOCK WaitBlockArray) {
  CheckWait(Object, Timeout);
  if (Alertable && FailThisCall(CALLER)) return STATUS_ALERTED;
  const NTSTATUS status = KeWaitForMultipleObjects(Count, Object, WaitType, WaitReason, WaitMode, Alertable,
                                                   Timeout, WaitBlockArray);
  const auto index = static_cast<ULONG>(status);
  if (!IsOn(DRIVER_VERIFIER_DEADLOCK_DETECTION) || index >= Count) return status;
  for (ULONG i = 0; i < Count; ++i) {
    if (IsMutex(Object[i]) && (WaitType == WaitAll || i == index))
      DeadlockAcquired(Object[i], LockKind::kMutex, CALLER);
  }
  return status;
}

NTSTATUS NTAPI VerifierKeDelayExecutionThread(KPROCESSOR_MODE WaitMode, BOOLEAN Alertable,
                                              PLARGE_INTEGER Interval) {
  const KIRQL irql = KeGetCurrentIrql();
  if (irql >= DISPATCH_LEVEL) Violation(kWait, irql, 0, Bits(Interval));
  if (Alertable && FailThisCall(CALLER)) return STATUS_ALERTED;
  return KeDelayExecutionThread(WaitMode, Alertable, Interval);
}

VOID NTAPI VerifierKeInitializeMutex(PRKMUTEX Mutex, ULONG Level) {
  if (IsOn(DRIVER_VERIFIER_DEADLOCK_DETECTION)) DeadlockInitialized(Mutex, LockKind::kMutex, CALLER);
  KeInitializeMutex(Mutex, Level);
}

LONG NTAPI VerifierKeReleaseMutex(PRKMUTEX Mutex, BOOLEAN Wait) {
  Releasing(Mutex, LockKind::kMutex, CALLER);
  return KeReleaseMutex(Mutex, Wait);
}

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
    VF_THUNK(ExAcquireResourceExclusiveLite),
    VF_THUNK(ExAcquireResourceSharedLite),
    VF_THUNK(ExReleaseResourceLite),
    VF_THUNK(KeLeaveCriticalRegion),
    VF_THUNK(KeSetEvent),
    VF_THUNK(KeWaitForSingleObject),
    VF_THUNK(KeWaitForMultipleObjects),
    VF_THUNK(KeDelayExecutionThread),
    VF_THUNK(KeInitializeMutex),
    VF_THUNK(KeReleaseMutex),
    VF_THUNK(KeSynchronizeExecution),
};

}  // namespace

const ThunkTable kLockThunks = {kThunks, ARRAYSIZE(kThunks)};

}  // namespace vf
