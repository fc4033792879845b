// Signalling, and how a wait ends. Every wait has one register (KTHREAD.WaitRegister); whoever moves it to
// kWaitClaimed decides: a signal, the time-out, an APC or alert, or the thread itself before it sleeps. The
// thread unlinks what is left of its wait blocks afterwards, under each object's lock, so a block of a
// decided wait may stay in a list for a moment: it is passed over. A thread that slept is only readied after
// the lock of the object is released, and one that did not takes that lock on its way out: the object may be
// on its stack.
#include "ke_internal.h"

namespace {

KWAIT_BLOCK* BlockOf(LIST_ENTRY* link) {
  return CONTAINING_RECORD(link, KWAIT_BLOCK, WaitListEntry);
}
DISPATCHER_HEADER* ObjectOf(const KWAIT_BLOCK* block) {
  return static_cast<DISPATCHER_HEADER*>(block->Object);
}
ULONG PhaseOf(ULONG word) {
  return word & kWaitPhaseMask;
}
bool Exchange(PKTHREAD thread, ULONG* expected, ULONG desired) {
  return __atomic_compare_exchange_n(&thread->WaitRegister, expected, desired, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE);
}

// Lowest object of the blocks above `last`; 0: none.
DISPATCHER_HEADER* NextObject(KWAIT_BLOCK* blocks, ULONG count, DISPATCHER_HEADER* last) {
  DISPATCHER_HEADER* next = nullptr;
  for (ULONG i = 0; i < count; ++i) {
    DISPATCHER_HEADER* object = ObjectOf(&blocks[i]);
    if (object > last && (next == nullptr || object < next)) next = object;
  }
  return next;
}

// Moves a wait to kWaitEvaluating. False: decided, or somebody does it and will look again.
bool BeginEvaluation(PKTHREAD thread) {
  ULONG word = thread->WaitRegister;
  for (;;) {
    ULONG desired;
    switch (PhaseOf(word)) {
      case kWaitRegistering:
        desired = kWaitEvaluating;
        break;
      case kWaitCommitted:
        desired = kWaitEvaluating | kWaitSleeps;
        break;
      case kWaitEvaluating:
        desired = word | kNoteAgain;
        break;
      default:
        return false;
    }
    const bool ours = PhaseOf(word) != kWaitEvaluating;
    if (Exchange(thread, &word, desired)) return ours;
  }
}

void ClaimEvaluated(PKTHREAD thread) {
  ULONG word = thread->WaitRegister;
  while (!Exchange(thread, &word, kWaitClaimed | (word & kWaitSleeps))) {
  }
}

// Not all are signalled. True: the evaluation is over; false: it has to be done once more.
bool EndEvaluation(PKTHREAD thread, KPRIORITY increment) {
  ULONG word = thread->WaitRegister;
  for (;;) {
    if ((word & kNoteAgain) != 0) {
      if (Exchange(thread, &word, word & ~ULONG{kNoteAgain})) return false;
    } else if ((word & (kNoteTimeout | kNoteInterrupt)) != 0) {
      const NTSTATUS status = (word & kNoteTimeout) != 0 ? STATUS_TIMEOUT : STATUS_KERNEL_APC;
      ClaimEvaluated(thread);
      KiDecideWait(thread, status, increment);
      return true;
    } else if (Exchange(thread, &word, (word & kWaitSleeps) != 0 ? kWaitCommitted : kWaitRegistering)) {
      return true;
    }
  }
}

bool AllSignalled(PKTHREAD thread) {
  for (ULONG i = 0; i < thread->WaitBlockCount; ++i) {
    if (!KiIsSignalled(ObjectOf(&thread->WaitBlockList[i]), thread)) return false;
  }
  return true;
}

LONG_PTR SatisfyAndUnlinkAll(PKTHREAD thread) {
  LONG_PTR status = STATUS_WAIT_0;
  for (ULONG i = 0; i < thread->WaitBlockCount; ++i) {
    KWAIT_BLOCK* block = &thread->WaitBlockList[i];
    if (KiSatisfy(ObjectOf(block), thread)) status = STATUS_ABANDONED_WAIT_0;
    RemoveEntryList(&block->WaitListEntry);
    block->BlockState = kBlockSatisfied;
  }
  return status;
}

// The evaluation is ours, so the thread stays in its wait; `held` is locked before and after.
void EvaluateAll(PKTHREAD thread, DISPATCHER_HEADER* held, KPRIORITY increment) {
  for (;;) {
    KiReleaseObjectLock(held);
    KiLockAllObjects(thread->WaitBlockList, thread->WaitBlockCount);
    if (AllSignalled(thread)) {
      ClaimEvaluated(thread);
      const LONG_PTR status = SatisfyAndUnlinkAll(thread);
      KiUnlockAllObjects(thread->WaitBlockList, thread->WaitBlockCount, held);
      KiDecideWait(thread, status, increment);
      return;
    }
    KiUnlockAllObjects(thread->WaitBlockList, thread->WaitBlockCount, held);
    if (EndEvaluation(thread, increment)) return;
  }
}

// One waiter, the object's lock held. Returns the next link.
LIST_ENTRY* TryRelease(DISPATCHER_HEADER* object, KWAIT_BLOCK* block, KPRIORITY increment) {
  PKTHREAD thread = block->Thread;
  if (block->WaitType == WaitAll) {
    if (!BeginEvaluation(thread)) return block->WaitListEntry.Flink;
    EvaluateAll(thread, object, increment);
    // The evaluation ended under the object's lock: the block is still there, and linked unless it was
    // satisfied.
    return block->BlockState == kBlockLinked ? block->WaitListEntry.Flink : object->WaitListHead.Flink;
  }
  LIST_ENTRY* next = block->WaitListEntry.Flink;
  const bool timeout = object == &thread->Timer.Header;
  if (!KiClaimWait(thread, timeout ? kNoteTimeout : 0)) return next;
  LONG_PTR status = block->WaitKey;
  if (KiSatisfy(object, thread)) status |= STATUS_ABANDONED_WAIT_0;
  RemoveEntryList(&block->WaitListEntry);
  block->BlockState = kBlockSatisfied;
  KiDecideWait(thread, status, increment);
  return next;
}

}  // namespace

extern "C" {

bool KiIsSignalled(DISPATCHER_HEADER* object, PKTHREAD thread) {
  if (object->SignalState > 0) return true;
  return KiTypeOf(object) == kMutant && reinterpret_cast<PKMUTANT>(object)->OwnerThread == thread;
}

bool KiSatisfy(DISPATCHER_HEADER* object, PKTHREAD thread) {
  switch (KiTypeOf(object)) {
    case kEventSynchronization:
    case kTimerSynchronization:
      object->SignalState = 0;
      return false;
    case kSemaphore:
      --object->SignalState;
      return false;
    case kMutant: {
      if (--object->SignalState != 0) return false;
      auto* mutant = reinterpret_cast<PKMUTANT>(object);
      mutant->OwnerThread = thread;
      thread->KernelApcDisable = static_cast<SHORT>(thread->KernelApcDisable - mutant->ApcDisable);
      KiAcquireThreadLock(thread);
      InsertTailList(&thread->MutantListHead, &mutant->MutantListEntry);
      KiReleaseThreadLock(thread);
      const bool abandoned = mutant->Abandoned != FALSE;
      mutant->Abandoned = FALSE;
      return abandoned;
    }
    default:
      return false;
  }
}

bool KiClaimWait(PKTHREAD thread, ULONG note) {
  ULONG word = __atomic_load_n(&thread->WaitRegister, __ATOMIC_ACQUIRE);
  for (;;) {
    ULONG desired;
    switch (PhaseOf(word)) {
      case kWaitRegistering:
        desired = kWaitClaimed;
        break;
      case kWaitCommitted:
        desired = kWaitClaimed | kWaitSleeps;
        break;
      case kWaitEvaluating:
        desired = word | note;
        break;
      default:
        return false;
    }
    const bool ours = PhaseOf(word) != kWaitEvaluating;
    if (Exchange(thread, &word, desired)) return ours;
  }
}

// A thread that did not sleep may go on, and end its wait, as soon as the word is written.
VOID KiDecideWait(PKTHREAD thread, LONG_PTR status, KPRIORITY increment) {
  const ULONG sleeps = thread->WaitRegister & kWaitSleeps;
  thread->WaitStatus = status;
  if (sleeps != 0) {
    thread->AdjustIncrement = static_cast<SCHAR>(increment < kLowRealtime ? increment : kLowRealtime - 1);
  }
  __atomic_store_n(&thread->WaitRegister, kWaitDecided | sleeps, __ATOMIC_RELEASE);
  if (sleeps != 0) KiDeferReady(thread);
}

VOID KiLinkWaitBlock(KWAIT_BLOCK* block, PKTHREAD thread, DISPATCHER_HEADER* object, UCHAR type, USHORT key) {
  block->WaitType = type;
  block->BlockState = kBlockLinked;
  block->WaitKey = key;
  block->Thread = thread;
  block->Object = object;
  InsertTailList(&object->WaitListHead, &block->WaitListEntry);
}

VOID KiLockAllObjects(KWAIT_BLOCK* blocks, ULONG count) {
  DISPATCHER_HEADER* object = nullptr;
  while ((object = NextObject(blocks, count, object)) != nullptr) KiAcquireObjectLock(object);
}

VOID KiUnlockAllObjects(KWAIT_BLOCK* blocks, ULONG count, DISPATCHER_HEADER* but) {
  DISPATCHER_HEADER* object = nullptr;
  while ((object = NextObject(blocks, count, object)) != nullptr) {
    if (object != but) KiReleaseObjectLock(object);
  }
}

VOID KiSignalObject(DISPATCHER_HEADER* object, KPRIORITY increment) {
  LIST_ENTRY* link = object->WaitListHead.Flink;
  while (link != &object->WaitListHead && object->SignalState > 0)
    link = TryRelease(object, BlockOf(link), increment);
}

}  // extern "C"
