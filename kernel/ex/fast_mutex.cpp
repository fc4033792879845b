// Fast mutexes (APC_LEVEL) and guarded mutexes (guarded region), after the public bits of Count: bit 0 set =
// free; bit 1 = a waiter was woken and has not run yet; from bit 2 up the number of threads that wait. A
// release frees the mutex and wakes one waiter, which tries again: whoever comes first gets it.
#include "ex/ex.h"
#include "ke/auto_boost.h"
#include "nt/export.h"

namespace {

constexpr LONG kFree = FM_LOCK_BIT;
constexpr LONG kWoken = FM_LOCK_WAITER_WOKEN;
constexpr LONG kWaiter = FM_LOCK_WAITER_INC;

// Both kinds have Count, Owner, Contention and an event (a KGATE begins like one) at the same places.
struct Mutex {
  volatile LONG count;
  PKTHREAD owner;
  ULONG contention;
  KEVENT event;
};
static_assert(FIELD_OFFSET(FAST_MUTEX, Event) == FIELD_OFFSET(KGUARDED_MUTEX, Gate));
static_assert(FIELD_OFFSET(FAST_MUTEX, Event) == FIELD_OFFSET(Mutex, event));
static_assert(sizeof(KGATE) == sizeof(KEVENT));

bool Exchange(Mutex* mutex, LONG from, LONG to) {
  return InterlockedCompareExchange(&mutex->count, to, from) == from;
}

bool TakeIfFree(Mutex* mutex) {
  return (InterlockedAnd(&mutex->count, ~kFree) & kFree) != 0;
}

}  // namespace

// Waits until the mutex is the current thread's. A woken waiter owes the woken bit, which it gives back with
// its next change of the count.
extern "C" __attribute__((noinline)) VOID ExpAcquireFastMutexContended(PVOID object, PKLOCK_ENTRY entry,
                                                                       KWAIT_REASON reason) {
  auto* mutex = static_cast<Mutex*>(object);
  __atomic_fetch_add(&mutex->contention, 1, __ATOMIC_RELAXED);
  LONG owed = 0;
  for (;;) {
    const LONG count = mutex->count;
    if ((count & kFree) != 0) {
      if (Exchange(mutex, count, count - kFree - owed)) return;
      continue;
    }
    if (!Exchange(mutex, count, count + kWaiter - owed)) continue;
    KeAbPreWait(entry, object);
    KeWaitForSingleObject(&mutex->event, reason, KernelMode, FALSE, nullptr);
    owed = kWoken;
  }
}

namespace {

// `entry` announces the acquisition (KeAbPreAcquire).
__attribute__((always_inline)) inline void TakeMutex(PVOID object, PKLOCK_ENTRY entry, KWAIT_REASON reason) {
  auto* mutex = static_cast<Mutex*>(object);
  if (!TakeIfFree(mutex)) ExpAcquireFastMutexContended(object, entry, reason);
  KeAbPostAcquire(entry);
  mutex->owner = reinterpret_cast<PKTHREAD>(KeGetCurrentThread());
}
__attribute__((always_inline)) inline void AcquireMutex(PVOID object, KeLockKind kind, KWAIT_REASON reason,
                                                        PVOID caller) {
  TakeMutex(object, KeAbPreAcquire(object, kind, caller), reason);
}

void ReleaseMutex(PVOID object) {
  auto* mutex = static_cast<Mutex*>(object);
  mutex->owner = nullptr;
  for (;;) {
    const LONG count = mutex->count;
    const bool wake = count >= kWaiter && (count & kWoken) == 0;
    if (!Exchange(mutex, count, (count | kFree) + (wake ? kWoken - kWaiter : 0))) continue;
    if (wake) KeSetEvent(&mutex->event, EVENT_INCREMENT, FALSE);
    break;
  }
  KeAbPostRelease(object);
}

bool TryTakeMutex(PVOID object, PKLOCK_ENTRY entry) {
  auto* mutex = static_cast<Mutex*>(object);
  if (!TakeIfFree(mutex)) {
    KeAbCancel(entry);
    return false;
  }
  KeAbPostAcquire(entry);
  mutex->owner = reinterpret_cast<PKTHREAD>(KeGetCurrentThread());
  return true;
}

}  // namespace

/// Takes a fast mutex and stays at APC_LEVEL until it is released. Not recursive.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExAcquireFastMutex.
NT_EXPORT(ExAcquireFastMutex, nt::AtMost(APC_LEVEL), Full, "ExFastMutex.*");
extern "C" VOID FASTCALL ExAcquireFastMutex(PFAST_MUTEX FastMutex) {
  // The announcement first: it is what tells a caller at DISPATCH_LEVEL.
  PKLOCK_ENTRY entry = KeAbPreAcquire(FastMutex, KeLockKind::kFastMutex, __builtin_return_address(0));
  const KIRQL irql = KfRaiseIrql(APC_LEVEL);
  TakeMutex(FastMutex, entry, WrFastMutex);
  FastMutex->OldIrql = irql;
}

/// Releases a fast mutex and goes back to the IRQL before.
/// IRQL: APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReleaseFastMutex.
NT_EXPORT(ExReleaseFastMutex, nt::Exactly(APC_LEVEL), Full, "ExFastMutex.*");
extern "C" VOID FASTCALL ExReleaseFastMutex(PFAST_MUTEX FastMutex) {
  const auto irql = static_cast<KIRQL>(FastMutex->OldIrql);
  ReleaseMutex(FastMutex);
  KeLowerIrql(irql);
}

/// Takes a fast mutex if it is free; at APC_LEVEL then.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExTryToAcquireFastMutex.
NT_EXPORT(ExTryToAcquireFastMutex, nt::AtMost(APC_LEVEL), Full, "ExFastMutex.*");
extern "C" BOOLEAN FASTCALL ExTryToAcquireFastMutex(PFAST_MUTEX FastMutex) {
  PKLOCK_ENTRY entry = KeAbPreAcquire(FastMutex, KeLockKind::kFastMutex, __builtin_return_address(0));
  const KIRQL irql = KfRaiseIrql(APC_LEVEL);
  if (TryTakeMutex(FastMutex, entry)) {
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
NT_EXPORT(ExAcquireFastMutexUnsafe, nt::Exactly(APC_LEVEL), Full, "ExFastMutex.*");
extern "C" VOID FASTCALL ExAcquireFastMutexUnsafe(PFAST_MUTEX FastMutex) {
  AcquireMutex(FastMutex, KeLockKind::kFastMutex, WrFastMutex, __builtin_return_address(0));
}

/// Releases what ExAcquireFastMutexUnsafe took.
/// IRQL: APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReleaseFastMutexUnsafe.
NT_EXPORT(ExReleaseFastMutexUnsafe, nt::Exactly(APC_LEVEL), Full, "ExFastMutex.*");
extern "C" VOID FASTCALL ExReleaseFastMutexUnsafe(PFAST_MUTEX FastMutex) {
  ReleaseMutex(FastMutex);
}

/// Prepares a guarded mutex.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeInitializeGuardedMutex.
NT_EXPORT(KeInitializeGuardedMutex, nt::AtMost(APC_LEVEL), Full, "ExGuardedMutex.*");
extern "C" VOID NTAPI KeInitializeGuardedMutex(PKGUARDED_MUTEX Mutex) {
  RtlZeroMemory(Mutex, sizeof(*Mutex));
  Mutex->Count = 1;
  KeInitializeEvent(reinterpret_cast<PRKEVENT>(&Mutex->Gate), SynchronizationEvent, FALSE);
}

/// Takes a guarded mutex and enters a guarded region. Not recursive.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeAcquireGuardedMutex.
NT_EXPORT(KeAcquireGuardedMutex, nt::AtMost(APC_LEVEL), Full, "ExGuardedMutex.*");
extern "C" VOID NTAPI KeAcquireGuardedMutex(PKGUARDED_MUTEX Mutex) {
  KeEnterGuardedRegion();
  AcquireMutex(Mutex, KeLockKind::kGuardedMutex, WrGuardedMutex, __builtin_return_address(0));
}

/// Releases a guarded mutex and leaves the guarded region.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeReleaseGuardedMutex.
NT_EXPORT(KeReleaseGuardedMutex, nt::AtMost(APC_LEVEL), Full, "ExGuardedMutex.*");
extern "C" VOID NTAPI KeReleaseGuardedMutex(PKGUARDED_MUTEX Mutex) {
  ReleaseMutex(Mutex);
  KeLeaveGuardedRegion();
}

/// Takes a guarded mutex if it is free.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeTryToAcquireGuardedMutex.
NT_EXPORT(KeTryToAcquireGuardedMutex, nt::AtMost(APC_LEVEL), Full, "ExGuardedMutex.*");
extern "C" BOOLEAN NTAPI KeTryToAcquireGuardedMutex(PKGUARDED_MUTEX Mutex) {
  KeEnterGuardedRegion();
  PKLOCK_ENTRY entry = KeAbPreAcquire(Mutex, KeLockKind::kGuardedMutex, __builtin_return_address(0));
  if (TryTakeMutex(Mutex, entry)) return TRUE;
  KeLeaveGuardedRegion();
  return FALSE;
}

/// Takes a guarded mutex inside a guarded region.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeAcquireGuardedMutexUnsafe.
NT_EXPORT(KeAcquireGuardedMutexUnsafe, nt::AtMost(APC_LEVEL), Full, "ExGuardedMutex.*");
extern "C" VOID NTAPI KeAcquireGuardedMutexUnsafe(PKGUARDED_MUTEX Mutex) {
  AcquireMutex(Mutex, KeLockKind::kGuardedMutex, WrGuardedMutex, __builtin_return_address(0));
}

/// Releases what KeAcquireGuardedMutexUnsafe took.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeReleaseGuardedMutexUnsafe.
NT_EXPORT(KeReleaseGuardedMutexUnsafe, nt::AtMost(APC_LEVEL), Full, "ExGuardedMutex.*");
extern "C" VOID NTAPI KeReleaseGuardedMutexUnsafe(PKGUARDED_MUTEX Mutex) {
  ReleaseMutex(Mutex);
}

/// Enters a critical region and takes a fast mutex; the IRQL stays. Returns what
/// ExEnterCriticalRegionAndAcquireResourceShared returns.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported; KeEnterCriticalRegion and ExAcquireFastMutexUnsafe in one.
NT_EXPORT(ExEnterCriticalRegionAndAcquireFastMutexUnsafe, nt::AtMost(APC_LEVEL), Full, "ExFastMutex.*");
extern "C" PVOID FASTCALL ExEnterCriticalRegionAndAcquireFastMutexUnsafe(PFAST_MUTEX FastMutex) {
  KeEnterCriticalRegion();
  AcquireMutex(FastMutex, KeLockKind::kFastMutex, WrFastMutex, __builtin_return_address(0));
  return reinterpret_cast<PKTHREAD>(KeGetCurrentThread())->Win32Thread;
}

/// Releases a fast mutex and leaves the critical region.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported; ExReleaseFastMutexUnsafe and KeLeaveCriticalRegion in one.
NT_EXPORT(ExReleaseFastMutexUnsafeAndLeaveCriticalRegion, nt::AtMost(APC_LEVEL), Full, "ExFastMutex.*");
extern "C" VOID FASTCALL ExReleaseFastMutexUnsafeAndLeaveCriticalRegion(PFAST_MUTEX FastMutex) {
  ReleaseMutex(FastMutex);
  KeLeaveCriticalRegion();
}
