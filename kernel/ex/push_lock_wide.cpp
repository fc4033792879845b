// Push locks for many readers: cache-aware ones have a lock in a cache line of its own for each processor; a
// sharer takes one, an exclusive owner all in their order. An auto-expand push lock is a plain one until
// sharers contend, then a cache-aware one.
#include "push_lock.h"

#include "ex/ex.h"
#include "nt/export.h"

namespace {

constexpr ULONG kTag = 'lPxE';
constexpr ULONG kLocks = 32;

struct alignas(64) PaddedLock {
  EX_PUSH_LOCK lock;
};

}  // namespace

typedef struct _EX_PUSH_LOCK_CACHE_AWARE {
  PEX_PUSH_LOCK Locks[kLocks];
} EX_PUSH_LOCK_CACHE_AWARE, *PEX_PUSH_LOCK_CACHE_AWARE;

typedef struct _EX_PUSH_LOCK_AUTO_EXPAND {
  EX_PUSH_LOCK LocalLock;
  // Bit 0 clear: how often sharers found LocalLock contended, times 2. Bit 0 set: it has expanded, the rest
  // is the address of the EX_PUSH_LOCK_CACHE_AWARE. Changes to that while LocalLock is held exclusively.
  volatile ULONG64 State;
} EX_PUSH_LOCK_AUTO_EXPAND, *PEX_PUSH_LOCK_AUTO_EXPAND;
static_assert(sizeof(EX_PUSH_LOCK_AUTO_EXPAND) == 16);

namespace {

struct WideLock {
  EX_PUSH_LOCK_CACHE_AWARE head;
  PaddedLock locks[kLocks];
};

constexpr ULONG64 kExpanded = 1;
constexpr ULONG64 kContention = 2;
constexpr ULONG64 kExpandAt = 16 * kContention;

PEX_PUSH_LOCK_CACHE_AWARE AllocateWide() {
  auto* wide =
      static_cast<WideLock*>(ExAllocatePoolWithTag(NonPagedPoolNxCacheAligned, sizeof(WideLock), kTag));
  if (wide == nullptr) return nullptr;
  RtlZeroMemory(wide, sizeof(*wide));
  for (ULONG i = 0; i < kLocks; ++i) wide->head.Locks[i] = &wide->locks[i].lock;
  return &wide->head;
}

PEX_PUSH_LOCK LockHere(PEX_PUSH_LOCK_CACHE_AWARE wide) {
  return wide->Locks[KeGetCurrentProcessorNumberEx(nullptr) % kLocks];
}

// Exclusive ownership has one AutoBoost entry, of the first lock.
void AcquireWideExclusive(PEX_PUSH_LOCK_CACHE_AWARE wide, ULONG flags) {
  ExAcquirePushLockExclusiveEx(wide->Locks[0], flags);
  for (ULONG i = 1; i < kLocks; ++i) ExfAcquirePushLockExclusive(wide->Locks[i]);
}
void ReleaseWideExclusive(PEX_PUSH_LOCK_CACHE_AWARE wide, ULONG flags) {
  for (ULONG i = kLocks - 1; i != 0; --i) ExfReleasePushLockExclusive(wide->Locks[i]);
  ExReleasePushLockExclusiveEx(wide->Locks[0], flags);
}
BOOLEAN TryAcquireWideExclusive(PEX_PUSH_LOCK_CACHE_AWARE wide, ULONG flags) {
  if (!ExTryAcquirePushLockExclusiveEx(wide->Locks[0], flags)) return FALSE;
  for (ULONG i = 1; i < kLocks; ++i) {
    if (ex::TryPushLockExclusive(wide->Locks[i])) continue;
    while (--i != 0) ExfReleasePushLockExclusive(wide->Locks[i]);
    ExReleasePushLockExclusiveEx(wide->Locks[0], flags);
    return FALSE;
  }
  return TRUE;
}

PEX_PUSH_LOCK_CACHE_AWARE WideOf(PEX_PUSH_LOCK_AUTO_EXPAND lock) {
  const ULONG64 state = lock->State;
  return (state & kExpanded) != 0 ? reinterpret_cast<PEX_PUSH_LOCK_CACHE_AWARE>(state & ~kExpanded) : nullptr;
}

// LocalLock is held exclusively.
void ExpandIfContended(PEX_PUSH_LOCK_AUTO_EXPAND lock) {
  if ((lock->State & kExpanded) != 0 || lock->State < kExpandAt) return;
  PEX_PUSH_LOCK_CACHE_AWARE wide = AllocateWide();
  if (wide != nullptr) lock->State = reinterpret_cast<ULONG64>(wide) | kExpanded;
}

void CountContention(PEX_PUSH_LOCK_AUTO_EXPAND lock) {
  const ULONG64 state = lock->State;
  if ((state & kExpanded) != 0 || state >= kExpandAt) return;
  InterlockedCompareExchange64(reinterpret_cast<volatile LONG64*>(&lock->State),
                               static_cast<LONG64>(state + kContention), static_cast<LONG64>(state));
}

}  // namespace

/// A cache-aware push lock; 0 without memory.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: the locks are always in nonpaged pool.
/// Source: not documented, exported.
NT_EXPORT(ExAllocateCacheAwarePushLock, nt::AtMost(APC_LEVEL), Partial, "ExWidePushLock.*");
extern "C" PEX_PUSH_LOCK_CACHE_AWARE NTAPI ExAllocateCacheAwarePushLock(ULONG Flags) {
  UNREFERENCED_PARAMETER(Flags);
  return AllocateWide();
}

/// Frees a cache-aware push lock that nobody holds.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExFreeCacheAwarePushLock, nt::AtMost(APC_LEVEL), Full, "ExWidePushLock.*");
extern "C" VOID NTAPI ExFreeCacheAwarePushLock(PEX_PUSH_LOCK_CACHE_AWARE PushLock) {
  ExFreePoolWithTag(CONTAINING_RECORD(PushLock, WideLock, head), kTag);
}

/// Takes a cache-aware push lock exclusively: all its locks.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExAcquireCacheAwarePushLockExclusiveEx, nt::AtMost(APC_LEVEL), Full, "ExWidePushLock.*");
extern "C" VOID FASTCALL ExAcquireCacheAwarePushLockExclusiveEx(PEX_PUSH_LOCK_CACHE_AWARE PushLock,
                                                                ULONG Flags) {
  AcquireWideExclusive(PushLock, Flags);
}

/// Takes a cache-aware push lock exclusively: all its locks.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExAcquireCacheAwarePushLockExclusive, nt::AtMost(APC_LEVEL), Full, "ExWidePushLock.*");
extern "C" VOID NTAPI ExAcquireCacheAwarePushLockExclusive(PEX_PUSH_LOCK_CACHE_AWARE PushLock) {
  AcquireWideExclusive(PushLock, 0);
}

/// Takes a cache-aware push lock exclusively if nobody holds any of its locks.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExTryAcquireCacheAwarePushLockExclusiveEx, nt::AtMost(APC_LEVEL), Full, "ExWidePushLock.*");
extern "C" BOOLEAN FASTCALL ExTryAcquireCacheAwarePushLockExclusiveEx(PEX_PUSH_LOCK_CACHE_AWARE PushLock,
                                                                      ULONG Flags) {
  return TryAcquireWideExclusive(PushLock, Flags);
}

/// Releases a cache-aware push lock that is held exclusively.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExReleaseCacheAwarePushLockExclusiveEx, nt::AtMost(APC_LEVEL), Full, "ExWidePushLock.*");
extern "C" VOID FASTCALL ExReleaseCacheAwarePushLockExclusiveEx(PEX_PUSH_LOCK_CACHE_AWARE PushLock,
                                                                ULONG Flags) {
  ReleaseWideExclusive(PushLock, Flags);
}

/// Releases a cache-aware push lock that is held exclusively.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExReleaseCacheAwarePushLockExclusive, nt::AtMost(APC_LEVEL), Full, "ExWidePushLock.*");
extern "C" VOID NTAPI ExReleaseCacheAwarePushLockExclusive(PEX_PUSH_LOCK_CACHE_AWARE PushLock) {
  ReleaseWideExclusive(PushLock, 0);
}

/// Takes the lock of this processor shared; returns it, for the release.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExAcquireCacheAwarePushLockSharedEx, nt::AtMost(APC_LEVEL), Full, "ExWidePushLock.*");
extern "C" PEX_PUSH_LOCK FASTCALL ExAcquireCacheAwarePushLockSharedEx(PEX_PUSH_LOCK_CACHE_AWARE PushLock,
                                                                      ULONG Flags) {
  PEX_PUSH_LOCK lock = LockHere(PushLock);
  ExAcquirePushLockSharedEx(lock, Flags);
  return lock;
}

/// Takes the lock of this processor shared if that needs no waiting; returns it or 0.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExTryAcquireCacheAwarePushLockSharedEx, nt::AtMost(APC_LEVEL), Full, "ExWidePushLock.*");
extern "C" PEX_PUSH_LOCK FASTCALL ExTryAcquireCacheAwarePushLockSharedEx(PEX_PUSH_LOCK_CACHE_AWARE PushLock,
                                                                         ULONG Flags) {
  PEX_PUSH_LOCK lock = LockHere(PushLock);
  return ExTryAcquirePushLockSharedEx(lock, Flags) ? lock : nullptr;
}

/// Releases what a shared acquisition returned.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExReleaseCacheAwarePushLockSharedEx, nt::AtMost(APC_LEVEL), Full, "ExWidePushLock.*");
extern "C" VOID FASTCALL ExReleaseCacheAwarePushLockSharedEx(PEX_PUSH_LOCK PushLock, ULONG Flags) {
  ExReleasePushLockSharedEx(PushLock, Flags);
}

/// Prepares an auto-expand push lock, of 16 bytes.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: what it expands to is always in nonpaged pool.
/// Source: not documented, exported.
NT_EXPORT(ExInitializeAutoExpandPushLock, nt::AtMost(APC_LEVEL), Partial, "ExWidePushLock.*");
extern "C" VOID NTAPI ExInitializeAutoExpandPushLock(PEX_PUSH_LOCK_AUTO_EXPAND PushLock, ULONG Flags) {
  UNREFERENCED_PARAMETER(Flags);
  PushLock->LocalLock = 0;
  PushLock->State = 0;
}

/// Ends the use of an auto-expand push lock: frees what it expanded to.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExCleanupAutoExpandPushLock, nt::AtMost(APC_LEVEL), Full, "ExWidePushLock.*");
extern "C" VOID NTAPI ExCleanupAutoExpandPushLock(PEX_PUSH_LOCK_AUTO_EXPAND PushLock) {
  PEX_PUSH_LOCK_CACHE_AWARE wide = WideOf(PushLock);
  PushLock->State = 0;
  if (wide != nullptr) ExFreeCacheAwarePushLock(wide);
}

/// Takes an auto-expand push lock exclusively.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExAcquireAutoExpandPushLockExclusive, nt::AtMost(APC_LEVEL), Full, "ExWidePushLock.*");
extern "C" VOID FASTCALL ExAcquireAutoExpandPushLockExclusive(PEX_PUSH_LOCK_AUTO_EXPAND PushLock,
                                                              ULONG Flags) {
  ExAcquirePushLockExclusiveEx(&PushLock->LocalLock, Flags);
  ExpandIfContended(PushLock);
  if (PEX_PUSH_LOCK_CACHE_AWARE wide = WideOf(PushLock)) AcquireWideExclusive(wide, ex::kPushLockUntracked);
}

/// Releases an auto-expand push lock that is held exclusively.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExReleaseAutoExpandPushLockExclusive, nt::AtMost(APC_LEVEL), Full, "ExWidePushLock.*");
extern "C" VOID FASTCALL ExReleaseAutoExpandPushLockExclusive(PEX_PUSH_LOCK_AUTO_EXPAND PushLock,
                                                              ULONG Flags) {
  if (PEX_PUSH_LOCK_CACHE_AWARE wide = WideOf(PushLock)) ReleaseWideExclusive(wide, ex::kPushLockUntracked);
  ExReleasePushLockExclusiveEx(&PushLock->LocalLock, Flags);
}

/// Takes an auto-expand push lock exclusively if nobody holds it.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExTryAcquireAutoExpandPushLockExclusive, nt::AtMost(APC_LEVEL), Full, "ExWidePushLock.*");
extern "C" BOOLEAN FASTCALL ExTryAcquireAutoExpandPushLockExclusive(PEX_PUSH_LOCK_AUTO_EXPAND PushLock,
                                                                    ULONG Flags) {
  if (!ExTryAcquirePushLockExclusiveEx(&PushLock->LocalLock, Flags)) return FALSE;
  PEX_PUSH_LOCK_CACHE_AWARE wide = WideOf(PushLock);
  if (wide == nullptr || TryAcquireWideExclusive(wide, ex::kPushLockUntracked)) return TRUE;
  ExReleasePushLockExclusiveEx(&PushLock->LocalLock, Flags);
  return FALSE;
}

/// Takes an auto-expand push lock shared; returns the lock that was taken, for the release.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExAcquireAutoExpandPushLockShared, nt::AtMost(APC_LEVEL), Full, "ExWidePushLock.*");
extern "C" PVOID FASTCALL ExAcquireAutoExpandPushLockShared(PEX_PUSH_LOCK_AUTO_EXPAND PushLock, ULONG Flags) {
  if (PEX_PUSH_LOCK_CACHE_AWARE wide = WideOf(PushLock))
    return ExAcquireCacheAwarePushLockSharedEx(wide, Flags);
  if (ExTryAcquirePushLockSharedEx(&PushLock->LocalLock, Flags)) {
    if (WideOf(PushLock) == nullptr) return &PushLock->LocalLock;
  } else {
    CountContention(PushLock);
    ExAcquirePushLockSharedEx(&PushLock->LocalLock, Flags);
    if (WideOf(PushLock) == nullptr) return &PushLock->LocalLock;
  }
  ExReleasePushLockSharedEx(&PushLock->LocalLock, Flags);  // it expanded meanwhile
  return ExAcquireCacheAwarePushLockSharedEx(WideOf(PushLock), Flags);
}

/// Takes an auto-expand push lock shared if that needs no waiting; returns the lock or 0.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExTryAcquireAutoExpandPushLockShared, nt::AtMost(APC_LEVEL), Full, "ExWidePushLock.*");
extern "C" PVOID FASTCALL ExTryAcquireAutoExpandPushLockShared(PEX_PUSH_LOCK_AUTO_EXPAND PushLock,
                                                               ULONG Flags) {
  if (PEX_PUSH_LOCK_CACHE_AWARE wide = WideOf(PushLock))
    return ExTryAcquireCacheAwarePushLockSharedEx(wide, Flags);
  if (!ExTryAcquirePushLockSharedEx(&PushLock->LocalLock, Flags)) return nullptr;
  if (WideOf(PushLock) == nullptr) return &PushLock->LocalLock;
  ExReleasePushLockSharedEx(&PushLock->LocalLock, Flags);
  return nullptr;
}

/// Releases what a shared acquisition of an auto-expand push lock returned.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExReleaseAutoExpandPushLockShared, nt::AtMost(APC_LEVEL), Full, "ExWidePushLock.*");
extern "C" VOID FASTCALL ExReleaseAutoExpandPushLockShared(PVOID PushLock, ULONG Flags) {
  ExReleasePushLockSharedEx(static_cast<PEX_PUSH_LOCK>(PushLock), Flags);
}
