// Private to ex: push locks, without AutoBoost.
//
// The word: 0 free; bit 0 held; without waiters the number of sharers from bit 4 up (0: held exclusively).
// With waiters (bit 1) the upper bits point to the first waiter's block, on its stack, which keeps the list's
// tail and the number of sharers; bit 2 locks that list. Ownership is handed over: a release gives the lock
// to the first waiter, with the sharers right behind it, and nobody overtakes who waits.
#pragma once

#include "ke/auto_boost.h"
#include "ke/ke.h"

extern "C" {  // not in the public headers
VOID FASTCALL ExfAcquirePushLockExclusive(PEX_PUSH_LOCK PushLock);
VOID FASTCALL ExfReleasePushLockExclusive(PEX_PUSH_LOCK PushLock);
BOOLEAN FASTCALL ExTryAcquirePushLockExclusiveEx(PEX_PUSH_LOCK PushLock, ULONG Flags);
BOOLEAN FASTCALL ExTryAcquirePushLockSharedEx(PEX_PUSH_LOCK PushLock, ULONG Flags);
}

namespace ex {

inline constexpr ULONG_PTR kPushLockHeld = 1;
inline constexpr ULONG_PTR kPushLockWaiting = 2;
inline constexpr ULONG_PTR kPushLockListLocked = 4;
inline constexpr ULONG_PTR kPushLockShare = 16;
inline constexpr ULONG_PTR kPushLockFlagBits = 15;

// Flags of the Ex*PushLock*Ex routines: no AutoBoost entry is kept; one is kept, but nothing is lent.
inline constexpr ULONG kPushLockUntracked = 1;
inline constexpr ULONG kPushLockNoBoost = 2;
inline constexpr ULONG kPushLockFlags = kPushLockUntracked | kPushLockNoBoost;

inline bool ExchangePushLock(PEX_PUSH_LOCK lock, ULONG_PTR from, ULONG_PTR to) {
  return InterlockedCompareExchangePointer(reinterpret_cast<PVOID volatile*>(lock),
                                           reinterpret_cast<PVOID>(to),
                                           reinterpret_cast<PVOID>(from)) == reinterpret_cast<PVOID>(from);
}

inline bool TryPushLockExclusive(PEX_PUSH_LOCK lock) {
  return ExchangePushLock(lock, 0, kPushLockHeld);
}

inline bool TryPushLockShared(PEX_PUSH_LOCK lock) {
  for (;;) {
    const ULONG_PTR value = *static_cast<volatile ULONG_PTR*>(lock);
    if ((value & kPushLockWaiting) != 0 || value == kPushLockHeld) return false;
    if (ExchangePushLock(lock, value, (value + kPushLockShare) | kPushLockHeld)) return true;
  }
}

// Wait until the lock is the caller's. <= APC_LEVEL.
extern "C" VOID ExfAcquirePushLockExclusiveEx(PEX_PUSH_LOCK lock, PKLOCK_ENTRY entry, ULONG flags);
extern "C" VOID ExfAcquirePushLockSharedEx(PEX_PUSH_LOCK lock, PKLOCK_ENTRY entry, ULONG flags);

void ReleasePushLockExclusive(PEX_PUSH_LOCK lock);
void ReleasePushLockShared(PEX_PUSH_LOCK lock);
// Either kind, told by the word.
void ReleasePushLock(PEX_PUSH_LOCK lock);
// Hands a lock that is free but has waiters to the first of them. Only code that clears the held bit itself
// can bring that about.
void WakePushLock(PEX_PUSH_LOCK lock);

// Bug check 0x152 for flags that do not exist.
void CheckPushLockFlags(PEX_PUSH_LOCK lock, ULONG flags);

}  // namespace ex
