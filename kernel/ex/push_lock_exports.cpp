// Push locks as drivers call them: AutoBoost around the lock itself (push_lock.h). Normal kernel APCs must be
// off while one is held.
#include "push_lock.h"

#include "ex/ex.h"
#include "nt/export.h"

namespace {

using ex::kPushLockUntracked;

__attribute__((always_inline)) inline PKLOCK_ENTRY Announce(PEX_PUSH_LOCK lock, ULONG flags, PVOID caller) {
  if ((flags & kPushLockUntracked) != 0) return nullptr;
  return KeAbPreAcquire(lock, KeLockKind::kPushLock, caller);
}
__attribute__((always_inline)) inline void Acquired(PKLOCK_ENTRY entry) {
  KeAbPostAcquire(entry);
}
__attribute__((always_inline)) inline void Released(PEX_PUSH_LOCK lock, ULONG flags) {
  if ((flags & kPushLockUntracked) == 0) KeAbPostRelease(lock);
}

__attribute__((always_inline)) inline void AcquireExclusive(PEX_PUSH_LOCK lock, ULONG flags, PVOID caller) {
  ex::CheckPushLockFlags(lock, flags);
  PKLOCK_ENTRY entry = Announce(lock, flags, caller);
  if (!ex::TryPushLockExclusive(lock)) ex::ExfAcquirePushLockExclusiveEx(lock, entry, flags);
  Acquired(entry);
}
__attribute__((always_inline)) inline void AcquireShared(PEX_PUSH_LOCK lock, ULONG flags, PVOID caller) {
  ex::CheckPushLockFlags(lock, flags);
  PKLOCK_ENTRY entry = Announce(lock, flags, caller);
  if (!ex::TryPushLockShared(lock)) ex::ExfAcquirePushLockSharedEx(lock, entry, flags);
  Acquired(entry);
}
BOOLEAN TryAcquire(PEX_PUSH_LOCK lock, bool exclusive, ULONG flags, PVOID caller) {
  ex::CheckPushLockFlags(lock, flags);
  PKLOCK_ENTRY entry = Announce(lock, flags, caller);
  if (exclusive ? ex::TryPushLockExclusive(lock) : ex::TryPushLockShared(lock)) {
    Acquired(entry);
    return TRUE;
  }
  if ((flags & kPushLockUntracked) == 0) KeAbCancel(entry);
  return FALSE;
}

}  // namespace

/// Prepares a push lock.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntifs/ExInitializePushLock.
NT_EXPORT(ExInitializePushLock, nt::AnyIrql(), Full, "ExPushLock.*");
extern "C" VOID ExInitializePushLock(PEX_PUSH_LOCK PushLock) {
  *PushLock = 0;
}

/// Takes a push lock exclusively. Who waits gets it in the order of asking.
/// Flags 1 keeps no AutoBoost entry, 2 lends no priority (only 0 is documented); others are bug check 0x152.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExAcquirePushLockExclusive.
NT_EXPORT(ExAcquirePushLockExclusiveEx, nt::AtMost(APC_LEVEL), Full, "ExPushLock.*");
extern "C" VOID FASTCALL ExAcquirePushLockExclusiveEx(PEX_PUSH_LOCK PushLock, ULONG Flags) {
  AcquireExclusive(PushLock, Flags, __builtin_return_address(0));
}

/// Takes a push lock shared; not past those who wait.
/// Flags 1 keeps no AutoBoost entry, 2 lends no priority (only 0 is documented); others are bug check 0x152.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExAcquirePushLockShared.
NT_EXPORT(ExAcquirePushLockSharedEx, nt::AtMost(APC_LEVEL), Full, "ExPushLock.*");
extern "C" VOID FASTCALL ExAcquirePushLockSharedEx(PEX_PUSH_LOCK PushLock, ULONG Flags) {
  AcquireShared(PushLock, Flags, __builtin_return_address(0));
}

/// Takes a push lock exclusively if it is free.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExTryAcquirePushLockExclusiveEx, nt::AtMost(APC_LEVEL), Full, "ExPushLock.*");
extern "C" BOOLEAN FASTCALL ExTryAcquirePushLockExclusiveEx(PEX_PUSH_LOCK PushLock, ULONG Flags) {
  return TryAcquire(PushLock, true, Flags, __builtin_return_address(0));
}

/// Takes a push lock shared if nobody holds it exclusively or waits.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExTryAcquirePushLockSharedEx, nt::AtMost(APC_LEVEL), Full, "ExPushLock.*");
extern "C" BOOLEAN FASTCALL ExTryAcquirePushLockSharedEx(PEX_PUSH_LOCK PushLock, ULONG Flags) {
  return TryAcquire(PushLock, false, Flags, __builtin_return_address(0));
}

/// Makes shared ownership exclusive if the caller is the only sharer and nobody waits.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExTryConvertPushLockSharedToExclusiveEx, nt::AtMost(APC_LEVEL), Full, "ExPushLock.*");
extern "C" BOOLEAN FASTCALL ExTryConvertPushLockSharedToExclusiveEx(PEX_PUSH_LOCK PushLock, ULONG Flags) {
  ex::CheckPushLockFlags(PushLock, Flags);
  return ex::ExchangePushLock(PushLock, ex::kPushLockHeld | ex::kPushLockShare, ex::kPushLockHeld);
}

/// Releases a push lock that is held exclusively. A thread that does not hold it: bug check 0x162.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReleasePushLockExclusive.
NT_EXPORT(ExReleasePushLockExclusiveEx, nt::AtMost(APC_LEVEL), Full, "ExPushLock.*");
extern "C" VOID FASTCALL ExReleasePushLockExclusiveEx(PEX_PUSH_LOCK PushLock, ULONG Flags) {
  ex::CheckPushLockFlags(PushLock, Flags);
  ex::ReleasePushLockExclusive(PushLock);
  Released(PushLock, Flags);
}

/// Releases a push lock that is held shared. A thread that does not hold it: bug check 0x162.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExReleasePushLockShared.
NT_EXPORT(ExReleasePushLockSharedEx, nt::AtMost(APC_LEVEL), Full, "ExPushLock.*");
extern "C" VOID FASTCALL ExReleasePushLockSharedEx(PEX_PUSH_LOCK PushLock, ULONG Flags) {
  ex::CheckPushLockFlags(PushLock, Flags);
  ex::ReleasePushLockShared(PushLock);
  Released(PushLock, Flags);
}

/// Releases a push lock that is held either way.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FltReleasePushLock (its kernel side; not documented itself).
NT_EXPORT(ExReleasePushLockEx, nt::AtMost(APC_LEVEL), Full, "ExPushLock.*");
extern "C" VOID FASTCALL ExReleasePushLockEx(PEX_PUSH_LOCK PushLock, ULONG Flags) {
  ex::CheckPushLockFlags(PushLock, Flags);
  ex::ReleasePushLock(PushLock);
  Released(PushLock, Flags);
}

/// Takes a push lock exclusively. The older form without flags and without AutoBoost.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExfAcquirePushLockExclusive, nt::AtMost(APC_LEVEL), Full, "ExPushLock.*");
extern "C" VOID FASTCALL ExfAcquirePushLockExclusive(PEX_PUSH_LOCK PushLock) {
  if (!ex::TryPushLockExclusive(PushLock))
    ex::ExfAcquirePushLockExclusiveEx(PushLock, nullptr, kPushLockUntracked);
}

/// Takes a push lock shared. The older form without flags and without AutoBoost.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExfAcquirePushLockShared, nt::AtMost(APC_LEVEL), Full, "ExPushLock.*");
extern "C" VOID FASTCALL ExfAcquirePushLockShared(PEX_PUSH_LOCK PushLock) {
  if (!ex::TryPushLockShared(PushLock)) ex::ExfAcquirePushLockSharedEx(PushLock, nullptr, kPushLockUntracked);
}

/// Takes a push lock shared if that needs no waiting. The older form without flags and without AutoBoost.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExfTryAcquirePushLockShared, nt::AtMost(DISPATCH_LEVEL), Full, "ExPushLock.*");
extern "C" BOOLEAN FASTCALL ExfTryAcquirePushLockShared(PEX_PUSH_LOCK PushLock) {
  return ex::TryPushLockShared(PushLock);
}

/// Releases a push lock that is held exclusively. The older form without flags and without AutoBoost.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExfReleasePushLockExclusive, nt::AtMost(DISPATCH_LEVEL), Full, "ExPushLock.*");
extern "C" VOID FASTCALL ExfReleasePushLockExclusive(PEX_PUSH_LOCK PushLock) {
  ex::ReleasePushLockExclusive(PushLock);
}

/// Releases a push lock that is held shared. The older form without flags and without AutoBoost.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExfReleasePushLockShared, nt::AtMost(DISPATCH_LEVEL), Full, "ExPushLock.*");
extern "C" VOID FASTCALL ExfReleasePushLockShared(PEX_PUSH_LOCK PushLock) {
  ex::ReleasePushLockShared(PushLock);
}

/// Releases a push lock that is held either way. The older form without flags and without AutoBoost.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExfReleasePushLock, nt::AtMost(DISPATCH_LEVEL), Full, "ExPushLock.*");
extern "C" VOID FASTCALL ExfReleasePushLock(PEX_PUSH_LOCK PushLock) {
  ex::ReleasePushLock(PushLock);
}

/// Hands a push lock on whose held bit the caller cleared itself, if threads wait for it.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExfTryToWakePushLock, nt::AtMost(DISPATCH_LEVEL), Full, "ExPushLock.*");
extern "C" VOID FASTCALL ExfTryToWakePushLock(PEX_PUSH_LOCK PushLock) {
  ex::WakePushLock(PushLock);
}
