// Push locks: one word. Bit 0 held exclusively, bit 1 somebody waits, from bit 4 up the number of shared
// holders. Waiters park in a hash table of queues; a release with waiters wakes all of a lock's, which try
// again.
#include "ex/ex.h"
#include "lock_record.h"
#include "nt/export.h"
#include "ob/ob.h"

namespace {

constexpr ULONG_PTR kExclusive = 1;
constexpr ULONG_PTR kWaiting = 2;
constexpr ULONG_PTR kShare = 16;

struct Waiter {
  LIST_ENTRY link;
  PEX_PUSH_LOCK lock;
  KEVENT event;
};

struct Bucket {
  KSPIN_LOCK lock;
  LIST_ENTRY waiters;  // zero until first used
};
Bucket g_buckets[64];

Bucket* BucketOf(PEX_PUSH_LOCK lock) {
  return &g_buckets[(reinterpret_cast<ULONG_PTR>(lock) >> 4) % RTL_NUMBER_OF(g_buckets)];
}

bool Exchange(PEX_PUSH_LOCK lock, ULONG_PTR from, ULONG_PTR to) {
  return InterlockedCompareExchangePointer(reinterpret_cast<PVOID volatile*>(lock),
                                           reinterpret_cast<PVOID>(to),
                                           reinterpret_cast<PVOID>(from)) == reinterpret_cast<PVOID>(from);
}

// Sharers do not overtake those who wait already.
bool TryTake(PEX_PUSH_LOCK lock, bool exclusive, bool woken) {
  for (;;) {
    const ULONG_PTR value = *static_cast<volatile ULONG_PTR*>(lock);
    if (exclusive ? (value & ~kWaiting) != 0 : ((value & kExclusive) || (!woken && (value & kWaiting))))
      return false;
    if (Exchange(lock, value, exclusive ? value | kExclusive : value + kShare)) return true;
  }
}

void Park(PEX_PUSH_LOCK lock, bool exclusive, bool woken) {
  Waiter waiter;
  waiter.lock = lock;
  KeInitializeEvent(&waiter.event, SynchronizationEvent, FALSE);
  Bucket* bucket = BucketOf(lock);
  {
    ob::SpinGuard guard(&bucket->lock);
    // Under the bucket's lock no release can miss the waiting bit.
    for (;;) {
      const ULONG_PTR value = *static_cast<volatile ULONG_PTR*>(lock);
      const bool taken =
          exclusive ? (value & ~kWaiting) != 0 : (value & kExclusive) || (!woken && (value & kWaiting));
      if (!taken) return;  // free by now: the caller tries again
      if (Exchange(lock, value, value | kWaiting)) break;
    }
    if (bucket->waiters.Flink == nullptr) InitializeListHead(&bucket->waiters);
    InsertTailList(&bucket->waiters, &waiter.link);
  }
  KeWaitForSingleObject(&waiter.event, WrPushLock, KernelMode, FALSE, nullptr);
}

void WakeAll(PEX_PUSH_LOCK lock) {
  Bucket* bucket = BucketOf(lock);
  ob::SpinGuard guard(&bucket->lock);
  for (;;) {
    const ULONG_PTR value = *static_cast<volatile ULONG_PTR*>(lock);
    if (Exchange(lock, value, value & ~kWaiting)) break;
  }
  if (bucket->waiters.Flink == nullptr) return;
  for (LIST_ENTRY* link = bucket->waiters.Flink; link != &bucket->waiters;) {
    auto* waiter = CONTAINING_RECORD(link, Waiter, link);
    link = link->Flink;
    if (waiter->lock != lock) continue;
    RemoveEntryList(&waiter->link);
    KeSetEvent(&waiter->event, 0, FALSE);
  }
}

void Acquire(PEX_PUSH_LOCK lock, bool exclusive, PVOID caller) {
  bool woken = false;
  while (!TryTake(lock, exclusive, woken)) {
    ex::RecordLock(lock, ex::LockKind::kPushLock, caller, true);
    Park(lock, exclusive, woken);
    woken = true;
  }
  ex::RecordLock(lock, ex::LockKind::kPushLock, caller, false);
}

void Release(PEX_PUSH_LOCK lock, bool exclusive) {
  ex::ForgetLock(lock);
  for (;;) {
    const ULONG_PTR value = *static_cast<volatile ULONG_PTR*>(lock);
    const ULONG_PTR next = exclusive ? value & ~kExclusive : value - kShare;
    if (!Exchange(lock, value, next)) continue;
    if ((next & kWaiting) && (next & ~kWaiting) == 0) WakeAll(lock);
    return;
  }
}

}  // namespace

/// Prepares a push lock.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntifs/ExInitializePushLock.
NT_EXPORT(ExInitializePushLock, nt::AnyIrql(), Full, "KernelEx.*");
extern "C" VOID ExInitializePushLock(PEX_PUSH_LOCK PushLock) {
  *PushLock = 0;
}

/// Takes a push lock exclusively; normal kernel APCs must be off.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: the flags are ignored.
/// Source: WDK wdm/ExAcquirePushLockExclusive.
NT_EXPORT(ExAcquirePushLockExclusiveEx, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" VOID FASTCALL ExAcquirePushLockExclusiveEx(PEX_PUSH_LOCK PushLock, ULONG) {
  Acquire(PushLock, true, __builtin_return_address(0));
}

/// Takes a push lock shared; normal kernel APCs must be off.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: the flags are ignored.
/// Source: WDK wdm/ExAcquirePushLockShared.
NT_EXPORT(ExAcquirePushLockSharedEx, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" VOID FASTCALL ExAcquirePushLockSharedEx(PEX_PUSH_LOCK PushLock, ULONG) {
  Acquire(PushLock, false, __builtin_return_address(0));
}

/// Releases a push lock that is held exclusively.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: the flags are ignored.
/// Source: WDK wdm/ExReleasePushLockExclusive.
NT_EXPORT(ExReleasePushLockExclusiveEx, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" VOID FASTCALL ExReleasePushLockExclusiveEx(PEX_PUSH_LOCK PushLock, ULONG) {
  Release(PushLock, true);
}

/// Releases a push lock that is held shared.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: the flags are ignored.
/// Source: WDK wdm/ExReleasePushLockShared.
NT_EXPORT(ExReleasePushLockSharedEx, nt::AtMost(APC_LEVEL), Full, "KernelEx.*");
extern "C" VOID FASTCALL ExReleasePushLockSharedEx(PEX_PUSH_LOCK PushLock, ULONG) {
  Release(PushLock, false);
}
