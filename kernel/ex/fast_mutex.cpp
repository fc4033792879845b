// Fast mutexes (APC_LEVEL) and guarded mutexes (guarded region). Count 1 = free; waiters queue on the event.
#include "ex/ex.h"
#include "lock_record.h"
#include "nt/export.h"

namespace {

// Both kinds have Count, Owner, Contention and an event (a KGATE begins like one) at the same places.
struct Mutex {
  volatile LONG count;
  PKTHREAD owner;
  ULONG contention;
  KEVENT event;
};
static_assert(FIELD_OFFSET(FAST_MUTEX, Event) == FIELD_OFFSET(KGUARDED_MUTEX, Gate));
static_assert(sizeof(KGATE) == sizeof(KEVENT));

void AcquireMutex(PVOID object, ex::LockKind kind, PVOID caller, KWAIT_REASON reason) {
  auto* mutex = static_cast<Mutex*>(object);
  if (InterlockedDecrement(&mutex->count) != 0) {
    ex::RecordLock(object, kind, caller, true);
    ++mutex->contention;
    KeWaitForSingleObject(&mutex->event, reason, KernelMode, FALSE, nullptr);
  }
  mutex->owner = reinterpret_cast<PKTHREAD>(KeGetCurrentThread());
  ex::RecordLock(object, kind, caller, false);
}

void ReleaseMutex(PVOID object) {
  auto* mutex = static_cast<Mutex*>(object);
  mutex->owner = nullptr;
  ex::ForgetLock(object);
  if (InterlockedIncrement(&mutex->count) <= 0) KeSetEvent(&mutex->event, EVENT_INCREMENT, FALSE);
}

bool TryAcquireMutex(PVOID object, ex::LockKind kind, PVOID caller) {
  auto* mutex = static_cast<Mutex*>(object);
  if (InterlockedCompareExchange(&mutex->count, 0, 1) != 1) return false;
  mutex->owner = reinterpret_cast<PKTHREAD>(KeGetCurrentThread());
  ex::RecordLock(object, kind, caller, false);
  return true;
}

}  // namespace

/// Takes a fast mutex and stays at APC_LEVEL until it is released. Not recursive.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExAcquireFastMutex.
NT_EXPORT(ExAcquireFastMutex, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" VOID FASTCALL ExAcquireFastMutex(PFAST_MUTEX FastMutex) {
  const KIRQL irql = KfRaiseIrql(APC_LEVEL);
  AcquireMutex(FastMutex, ex::LockKind::kFastMutex, __builtin_return_address(0), WrFastMutex);
  FastMutex->OldIrql = irql;
}

/// Releases a fast mutex and goes back to the IRQL before.
/// IRQL: APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReleaseFastMutex.
NT_EXPORT(ExReleaseFastMutex, nt::Exactly(APC_LEVEL), Full, "KernelEx.*");
extern "C" VOID FASTCALL ExReleaseFastMutex(PFAST_MUTEX FastMutex) {
  const auto irql = static_cast<KIRQL>(FastMutex->OldIrql);
  ReleaseMutex(FastMutex);
  KeLowerIrql(irql);
}

/// Takes a fast mutex if it is free; at APC_LEVEL then.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExTryToAcquireFastMutex.
NT_EXPORT(ExTryToAcquireFastMutex, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" BOOLEAN FASTCALL ExTryToAcquireFastMutex(PFAST_MUTEX FastMutex) {
  const KIRQL irql = KfRaiseIrql(APC_LEVEL);
  if (TryAcquireMutex(FastMutex, ex::LockKind::kFastMutex, __builtin_return_address(0))) {
    FastMutex->OldIrql = irql;
    return TRUE;
  }
  KeLowerIrql(irql);
  return FALSE;
}

/// Takes a fast mutex; the caller sees to it that APCs are off.
/// IRQL: APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExAcquireFastMutexUnsafe.
NT_EXPORT(ExAcquireFastMutexUnsafe, nt::Exactly(APC_LEVEL), Full, "KernelEx.*");
extern "C" VOID FASTCALL ExAcquireFastMutexUnsafe(PFAST_MUTEX FastMutex) {
  AcquireMutex(FastMutex, ex::LockKind::kFastMutex, __builtin_return_address(0), WrFastMutex);
}

/// Releases what ExAcquireFastMutexUnsafe took.
/// IRQL: APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReleaseFastMutexUnsafe.
NT_EXPORT(ExReleaseFastMutexUnsafe, nt::Exactly(APC_LEVEL), Full, "KernelEx.*");
extern "C" VOID FASTCALL ExReleaseFastMutexUnsafe(PFAST_MUTEX FastMutex) {
  ReleaseMutex(FastMutex);
}

/// Prepares a guarded mutex.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeInitializeGuardedMutex.
NT_EXPORT(KeInitializeGuardedMutex, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" VOID NTAPI KeInitializeGuardedMutex(PKGUARDED_MUTEX Mutex) {
  RtlZeroMemory(Mutex, sizeof(*Mutex));
  Mutex->Count = 1;
  KeInitializeEvent(reinterpret_cast<PRKEVENT>(&Mutex->Gate), SynchronizationEvent, FALSE);
}

/// Takes a guarded mutex and enters a guarded region. Not recursive.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeAcquireGuardedMutex.
NT_EXPORT(KeAcquireGuardedMutex, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" VOID NTAPI KeAcquireGuardedMutex(PKGUARDED_MUTEX Mutex) {
  KeEnterGuardedRegion();
  AcquireMutex(Mutex, ex::LockKind::kGuardedMutex, __builtin_return_address(0), WrGuardedMutex);
}

/// Releases a guarded mutex and leaves the guarded region.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeReleaseGuardedMutex.
NT_EXPORT(KeReleaseGuardedMutex, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" VOID NTAPI KeReleaseGuardedMutex(PKGUARDED_MUTEX Mutex) {
  ReleaseMutex(Mutex);
  KeLeaveGuardedRegion();
}

/// Takes a guarded mutex if it is free.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeTryToAcquireGuardedMutex.
NT_EXPORT(KeTryToAcquireGuardedMutex, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" BOOLEAN NTAPI KeTryToAcquireGuardedMutex(PKGUARDED_MUTEX Mutex) {
  KeEnterGuardedRegion();
  if (TryAcquireMutex(Mutex, ex::LockKind::kGuardedMutex, __builtin_return_address(0))) return TRUE;
  KeLeaveGuardedRegion();
  return FALSE;
}

/// Takes a guarded mutex inside a guarded region.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeAcquireGuardedMutexUnsafe.
NT_EXPORT(KeAcquireGuardedMutexUnsafe, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" VOID NTAPI KeAcquireGuardedMutexUnsafe(PKGUARDED_MUTEX Mutex) {
  AcquireMutex(Mutex, ex::LockKind::kGuardedMutex, __builtin_return_address(0), WrGuardedMutex);
}

/// Releases what KeAcquireGuardedMutexUnsafe took.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeReleaseGuardedMutexUnsafe.
NT_EXPORT(KeReleaseGuardedMutexUnsafe, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" VOID NTAPI KeReleaseGuardedMutexUnsafe(PKGUARDED_MUTEX Mutex) {
  ReleaseMutex(Mutex);
}
