// Private to ex: which locks a thread holds or waits for (KTHREAD.LockEntries), for the debugger's reports.
// Written by the thread itself.
#pragma once

#include "ke/ke.h"
#include "nt/eprocess.h"

namespace ex {

enum class LockKind : UCHAR { kFastMutex = 1, kGuardedMutex = 2, kPushLock = 3, kResource = 4 };

inline PKLOCK_ENTRY FindLockEntry(PVOID lock) {
  PKTHREAD thread = KeCurrentThread();
  if (thread->LockEntries == nullptr) return nullptr;
  for (ULONG i = 0; i < thread->LockEntryCount; ++i) {
    if (thread->LockEntries[i].LockState == lock) return &thread->LockEntries[i];
  }
  return nullptr;
}

// More locks than entries: the surplus is not recorded.
inline void RecordLock(PVOID lock, LockKind kind, PVOID caller, bool waiting) {
  PKLOCK_ENTRY entry = FindLockEntry(lock);
  if (entry == nullptr) entry = FindLockEntry(nullptr);
  if (entry == nullptr) return;
  entry->CallerAddress = caller;
  entry->AcquireTime = static_cast<ULONG64>(KeQueryPerformanceCounter(nullptr).QuadPart);
  entry->Waiting = waiting;
  entry->Kind = static_cast<UCHAR>(kind);
  entry->LockState = lock;
}

inline void ForgetLock(PVOID lock) {
  if (PKLOCK_ENTRY entry = FindLockEntry(lock); entry != nullptr) entry->LockState = nullptr;
}

}  // namespace ex
