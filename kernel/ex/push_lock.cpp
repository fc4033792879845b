// Push locks: waiting and handing over. push_lock.h explains the word.
#include "push_lock.h"

#include "arch/cpu.h"
#include "ex/ex.h"
#include "wait_blocks.h"

#ifndef INVALID_PUSH_LOCK_FLAGS
#define INVALID_PUSH_LOCK_FLAGS 0x152
#endif

// On the stack of a thread that waits. The first of a list also has its tail and the sharers that hold.
typedef struct alignas(16) _EX_PUSH_LOCK_WAIT_BLOCK {
  KEVENT WakeEvent;
  struct _EX_PUSH_LOCK_WAIT_BLOCK* Next;
  struct _EX_PUSH_LOCK_WAIT_BLOCK* Last;  // of the first block
  LONG64 ShareCount;                      // of the first block; 0: held exclusively
  BOOLEAN Exclusive;
} EX_PUSH_LOCK_WAIT_BLOCK;

namespace ex {

namespace {

using Block = EX_PUSH_LOCK_WAIT_BLOCK;

ULONG_PTR Load(PEX_PUSH_LOCK lock) {
  return __atomic_load_n(lock, __ATOMIC_ACQUIRE);
}
Block* FirstOf(ULONG_PTR value) {
  return reinterpret_cast<Block*>(value & ~kPushLockFlagBits);
}
ULONG_PTR Word(Block* first) {
  return reinterpret_cast<ULONG_PTR>(first) | kPushLockHeld | kPushLockWaiting;
}

// Locks the list of waiters; FALSE: there are none. At DISPATCH_LEVEL, so that the holder is never preempted.
bool LockList(PEX_PUSH_LOCK lock, ULONG_PTR* value) {
  for (;;) {
    *value = Load(lock);
    if ((*value & kPushLockWaiting) == 0) return false;
    if ((*value & kPushLockListLocked) == 0 && ExchangePushLock(lock, *value, *value | kPushLockListLocked))
      return true;
    arch::Pause();
  }
}
void UnlockList(PEX_PUSH_LOCK lock, ULONG_PTR value) {
  __atomic_store_n(lock, value, __ATOMIC_RELEASE);
}

// Becomes the last of those who wait, or takes the lock if that is possible now (TRUE).
bool TakeOrEnqueue(PEX_PUSH_LOCK lock, Block* block) {
  for (;;) {
    ULONG_PTR value;
    if (LockList(lock, &value)) {
      Block* first = FirstOf(value);
      first->Last->Next = block;
      first->Last = block;
      UnlockList(lock, value);
      return false;
    }
    if (block->Exclusive ? TryPushLockExclusive(lock) : TryPushLockShared(lock)) return true;
    value = Load(lock);
    if ((value & kPushLockWaiting) != 0 || value == 0) continue;
    block->Last = block;
    block->ShareCount = static_cast<LONG64>(value / kPushLockShare);
    if (ExchangePushLock(lock, value, Word(block))) return false;
  }
}

void Await(PEX_PUSH_LOCK lock, bool exclusive, PKLOCK_ENTRY entry, ULONG flags) {
  Block block;
  KeInitializeEvent(&block.WakeEvent, SynchronizationEvent, FALSE);
  block.Next = nullptr;
  block.Exclusive = exclusive;
  const KIRQL irql = KfRaiseIrql(DISPATCH_LEVEL);
  const bool taken = TakeOrEnqueue(lock, &block);
  KeLowerIrql(irql);
  if (taken) return;
  if ((flags & kPushLockFlags) == 0) KeAbPreWait(entry, lock);
  KeWaitForSingleObject(&block.WakeEvent, WrPushLock, KernelMode, FALSE, nullptr);
}

// List locked and nobody holds the lock any more: the first waiter gets it, and if that is a sharer those
// right behind it too. Returns them as a list; the word is theirs, the list unlocked.
Block* HandOver(PEX_PUSH_LOCK lock, Block* first) {
  Block* last_woken = first;
  LONG64 sharers = first->Exclusive ? 0 : 1;
  while (sharers != 0 && last_woken->Next != nullptr && !last_woken->Next->Exclusive) {
    last_woken = last_woken->Next;
    ++sharers;
  }
  Block* rest = last_woken->Next;
  last_woken->Next = nullptr;
  if (rest != nullptr) {
    rest->Last = first->Last;
    rest->ShareCount = sharers;
    UnlockList(lock, Word(rest));
  } else {
    UnlockList(lock, kPushLockHeld | static_cast<ULONG_PTR>(sharers) * kPushLockShare);
  }
  return first;
}

// A release that found waiters: one sharer less, or the exclusive holder gone.
void ReleaseWithWaiters(PEX_PUSH_LOCK lock) {
  const KIRQL irql = KfRaiseIrql(DISPATCH_LEVEL);
  ULONG_PTR value;
  Block* woken = nullptr;
  if (LockList(lock, &value)) {
    Block* first = FirstOf(value);
    if (first->ShareCount > 0) --first->ShareCount;
    if (first->ShareCount > 0) {
      UnlockList(lock, value);
    } else {
      woken = HandOver(lock, first);
    }
  }
  KeLowerIrql(irql);
  WakeWaiters(woken);
}

}  // namespace

extern "C" __attribute__((noinline)) VOID ExfAcquirePushLockExclusiveEx(PEX_PUSH_LOCK lock,
                                                                        PKLOCK_ENTRY entry, ULONG flags) {
  Await(lock, true, entry, flags);
}

extern "C" __attribute__((noinline)) VOID ExfAcquirePushLockSharedEx(PEX_PUSH_LOCK lock, PKLOCK_ENTRY entry,
                                                                     ULONG flags) {
  Await(lock, false, entry, flags);
}

void ReleasePushLockExclusive(PEX_PUSH_LOCK lock) {
  if (!ExchangePushLock(lock, kPushLockHeld, 0)) ReleaseWithWaiters(lock);
}

void ReleasePushLockShared(PEX_PUSH_LOCK lock) {
  for (;;) {
    const ULONG_PTR value = Load(lock);
    if ((value & kPushLockWaiting) != 0) return ReleaseWithWaiters(lock);
    const ULONG_PTR sharers = value / kPushLockShare;
    if (sharers == 0) return;  // not held shared: AutoBoost has its say about that
    if (ExchangePushLock(lock, value, sharers == 1 ? 0 : value - kPushLockShare)) return;
  }
}

void ReleasePushLock(PEX_PUSH_LOCK lock) {
  const ULONG_PTR value = Load(lock);
  if (value == kPushLockHeld && ExchangePushLock(lock, kPushLockHeld, 0)) return;
  if ((Load(lock) & kPushLockWaiting) != 0) return ReleaseWithWaiters(lock);
  ReleasePushLockShared(lock);
}

void WakePushLock(PEX_PUSH_LOCK lock) {
  const KIRQL irql = KfRaiseIrql(DISPATCH_LEVEL);
  ULONG_PTR value;
  Block* woken = nullptr;
  if (LockList(lock, &value)) {
    if ((value & kPushLockHeld) == 0) {
      woken = HandOver(lock, FirstOf(value));
    } else {
      UnlockList(lock, value);
    }
  }
  KeLowerIrql(irql);
  WakeWaiters(woken);
}

void CheckPushLockFlags(PEX_PUSH_LOCK lock, ULONG flags) {
  if ((flags & ~kPushLockFlags) == 0) return;
  KeBugCheckEx(INVALID_PUSH_LOCK_FLAGS, flags, reinterpret_cast<ULONG_PTR>(lock), 0, 0);
}

}  // namespace ex
