// Waits, events, mutexes, resources and regions of verified drivers.
#include "nt/kpcr.h"
#include "verifier.h"

namespace vf {
namespace {

#define CALLER __builtin_return_address(0)
constexpr ULONG kResourceAcquire = 0x37, kResourceRelease = 0x38, kWait = 0x3B, kUnalignedResource = 0x3D,
                kNotInCriticalRegion = 0x3E, kSetEventAbove = 0x80, kEnterRegionAbove = 0x11A,
                kLeaveRegionAbove = 0x11B, kWaitAbove = 0x120, kWaitForever = 0x121, kWaitAtDispatch = 0x122,
                kUserWaitOnStack = 0x123;

[[noreturn]] FORCEINLINE void Violation(ULONG kind, ULONG_PTR p2, ULONG_PTR p3, ULONG_PTR p4) {
  VerifierBugCheckIfAppropriate(kViolation, kind, p2, p3, p4);
}

// Kernel APCs must be off around a resource, or the owner can be suspended holding it.
FORCEINLINE void CheckResource(ULONG kind, PERESOURCE resource) {
  if (Bits(resource) % sizeof(PVOID) != 0) Violation(kUnalignedResource, 0, 0, Bits(resource));
  const PKTHREAD thread = KeGetCurrentThread();
  const KIRQL irql = KeGetCurrentIrql();
  if (irql == PASSIVE_LEVEL && thread->CombinedApcDisable == 0) Violation(kind, irql, 0, Bits(resource));
}

// The miscellaneous checks tell the kinds of a wait that cannot be apart, and by the addresses of what they
// say.
FORCEINLINE void CheckWait(PVOID object, PLARGE_INTEGER timeout, KPROCESSOR_MODE mode) {
  const ULONG_PTR irql = KeGetCurrentIrql();
  const bool waits = timeout == nullptr || timeout->QuadPart != 0;
  const PKTHREAD thread = KeGetCurrentThread();
  if (irql > DISPATCH_LEVEL || (irql == DISPATCH_LEVEL && waits)) {
    if (!IsOn(kMiscellaneous)) Violation(kWait, irql, Bits(object), Bits(timeout));
    const ULONG kind = irql > DISPATCH_LEVEL ? kWaitAbove
                       : timeout == nullptr  ? kWaitForever
                                             : kWaitAtDispatch;
    Violation(kind, Bits(&irql), Bits(object), Bits(timeout));
  }
  if (mode == UserMode && IsOn(kMiscellaneous) && object >= thread->StackLimit && object < thread->StackBase)
    Violation(kUserWaitOnStack, Bits(object), 0, 0);
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
  return ExAcquireResourceSharedLite(Resource, Wait);
}

VOID FASTCALL VerifierExReleaseResourceLite(PERESOURCE Resource) {
  CheckResource(kResourceRelease, Resource);
  ExReleaseResourceLite(Resource);
}

VOID NTAPI VerifierKeEnterCriticalRegion() {
  const KIRQL irql = KeGetCurrentIrql();
  if (irql > APC_LEVEL) Violation(kEnterRegionAbove, irql, 0, 0);
  KeEnterCriticalRegion();
}

VOID NTAPI VerifierKeLeaveCriticalRegion() {
  const KIRQL irql = KeGetCurrentIrql();
  if (irql > APC_LEVEL) Violation(kLeaveRegionAbove, irql, 0, 0);
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
  CheckWait(Object, Timeout, WaitMode);
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
  for (ULONG i = 0; i < Count; ++i) CheckWait(Object[i], Timeout, WaitMode);
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
  if (IsOn(DRIVER_VERIFIER_DEADLOCK_DETECTION)) DeadlockReleased(Mutex, LockKind::kMutex, CALLER);
  return KeReleaseMutex(Mutex, Wait);
}

NTSTATUS NTAPI VerifierPsTerminateSystemThread(NTSTATUS ExitStatus) {
  if (IsOn(DRIVER_VERIFIER_DEADLOCK_DETECTION)) DeadlockThreadEnds();
  return PsTerminateSystemThread(ExitStatus);
}

}  // extern "C"

namespace {

#define VF_THUNK(Name) {#Name, reinterpret_cast<PVOID>(&Verifier##Name), 0}
const Thunk kThunks[] = {
    VF_THUNK(ExAcquireResourceExclusiveLite),
    VF_THUNK(ExAcquireResourceSharedLite),
    VF_THUNK(ExReleaseResourceLite),
    VF_THUNK(KeEnterCriticalRegion),
    VF_THUNK(KeLeaveCriticalRegion),
    VF_THUNK(KeSetEvent),
    VF_THUNK(KeWaitForSingleObject),
    VF_THUNK(KeWaitForMultipleObjects),
    VF_THUNK(KeDelayExecutionThread),
    VF_THUNK(KeInitializeMutex),
    VF_THUNK(KeReleaseMutex),
    VF_THUNK(PsTerminateSystemThread),
};

}  // namespace

const ThunkTable kWaitThunks = {kThunks, ARRAYSIZE(kThunks)};

}  // namespace vf
