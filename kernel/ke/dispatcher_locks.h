// The dispatcher's locks. All are taken at DISPATCH_LEVEL, or for a few instructions with interrupts off, in
// this order:
//   1. an object's: bit 7 of DISPATCHER_HEADER.Lock; several only in ascending address order
//   2. the timer table's
//   3. a thread's: KTHREAD.ThreadLock (its APC queues, alerts, priority, affinity, mutant list)
//   4. a processor's: KPRCB.PrcbLock (its ready queues, NextThread, SelectedThread), never two of them
// Against the order only by trying. None is held across a context switch. docs/decisions/0006 tells the whole
// protocol.
#pragma once

#include "arch/cpu.h"
#include "nt/kpcr.h"

inline constexpr UCHAR kObjectLockBit = 0x80;

// The lock bit may be set at any time.
FORCEINLINE UCHAR KiTypeOf(const DISPATCHER_HEADER* object) {
  return object->Type & static_cast<UCHAR>(~kObjectLockBit);
}

// Spins a little, then lets the host run somebody else.
FORCEINLINE void KiSpinUntilClear(const volatile UCHAR* byte, UCHAR bits) {
  for (int i = 0; i < 200; ++i) {
    if ((*byte & bits) == 0) return;
  }
  arch::Pause();
}

FORCEINLINE bool KiTryAcquireObjectLock(DISPATCHER_HEADER* object) {
  bool was;
  __asm__ volatile("lock btsl $7, %1" : "=@ccc"(was), "+m"(object->Lock)::"memory");
  return !was;
}
FORCEINLINE void KiAcquireObjectLock(DISPATCHER_HEADER* object) {
  while (!KiTryAcquireObjectLock(object)) KiSpinUntilClear(&object->Type, kObjectLockBit);
}
FORCEINLINE void KiReleaseObjectLock(DISPATCHER_HEADER* object) {  // only the holder changes the byte
  __atomic_store_n(&object->Type, KiTypeOf(object), __ATOMIC_RELEASE);
}

FORCEINLINE bool KiTryAcquireRawLock(KSPIN_LOCK* lock) {
  return __atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE) == 0;
}
FORCEINLINE void KiAcquireRawLock(KSPIN_LOCK* lock) {
  while (!KiTryAcquireRawLock(lock)) KiSpinUntilClear(reinterpret_cast<volatile UCHAR*>(lock), 1);
}
FORCEINLINE void KiReleaseRawLock(KSPIN_LOCK* lock) {
  __atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}
FORCEINLINE void KiAcquireThreadLock(PKTHREAD thread) {
  KiAcquireRawLock(&thread->ThreadLock);
}
FORCEINLINE void KiReleaseThreadLock(PKTHREAD thread) {
  KiReleaseRawLock(&thread->ThreadLock);
}
FORCEINLINE void KiAcquirePrcbLock(PKPRCB prcb) {
  KiAcquireRawLock(&prcb->PrcbLock);
}
FORCEINLINE void KiReleasePrcbLock(PKPRCB prcb) {
  KiReleaseRawLock(&prcb->PrcbLock);
}

// KTHREAD.WaitRegister: a wait is decided once, by whoever moves it to kWaitClaimed.
enum KiWaitPhase : ULONG {
  kWaitNone = 0,
  kWaitRegistering = 1,  // the thread links its blocks; it will look before it sleeps
  kWaitCommitted = 2,    // it sleeps, or is about to
  kWaitEvaluating = 3,   // somebody looks whether all objects of its wait are signalled
  kWaitClaimed = 4,      // the decision is being written
  kWaitDecided = 5,
  kWaitPhaseMask = 7,
  kWaitSleeps = 8,  // beside kWaitEvaluating .. kWaitDecided: it was committed
  // What came up while somebody evaluated; it is up to him.
  kNoteAgain = 0x10,
  kNoteTimeout = 0x20,
  kNoteInterrupt = 0x40,
};

// KWAIT_BLOCK.BlockState
enum KiBlockState : UCHAR { kBlockFree = 0, kBlockLinked = 1, kBlockSatisfied = 2 };

// Raises to DISPATCH_LEVEL; at the end readied threads get their processors.
class DispatchGuard {
 public:
  DispatchGuard();
  ~DispatchGuard();
  DispatchGuard(const DispatchGuard&) = delete;
  DispatchGuard& operator=(const DispatchGuard&) = delete;
  void KeepForNextWait();  // Wait = TRUE: the IRQL stays until the thread's next wait

 private:
  KIRQL old_irql_;
  bool keep_ = false;
};

// The same, with an object's lock.
class ObjectGuard {
 public:
  explicit ObjectGuard(DISPATCHER_HEADER* object) : object_(object) { KiAcquireObjectLock(object); }
  ~ObjectGuard() { KiReleaseObjectLock(object_); }
  ObjectGuard(const ObjectGuard&) = delete;
  ObjectGuard& operator=(const ObjectGuard&) = delete;
  void KeepForNextWait() { dispatch_.KeepForNextWait(); }

 private:
  DispatchGuard dispatch_;
  DISPATCHER_HEADER* object_;
};

class ThreadGuard {
 public:
  explicit ThreadGuard(PKTHREAD thread) : thread_(thread) { KiAcquireThreadLock(thread); }
  ~ThreadGuard() { KiReleaseThreadLock(thread_); }
  ThreadGuard(const ThreadGuard&) = delete;
  ThreadGuard& operator=(const ThreadGuard&) = delete;

 private:
  DispatchGuard dispatch_;
  PKTHREAD thread_;
};
