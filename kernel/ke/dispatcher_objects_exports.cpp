// Events, semaphores, mutexes.
#include "ke_internal.h"
#include "nt/export.h"

namespace {

constexpr KPRIORITY kSetEventBoost = 1;

void InitializeHeader(DISPATCHER_HEADER* header, UCHAR type, SIZE_T size, LONG state) {
  header->Type = type;
  header->Abandoned = 0;
  header->Size = static_cast<UCHAR>(size / sizeof(ULONG));
  header->DpcActive = 0;
  header->SignalState = state;
  InitializeListHead(&header->WaitListHead);
}

// Signals an event for which nobody waits: that concerns no thread, so a moment with interrupts off will do,
// which is cheaper than raising the IRQL. False: somebody waits, or the object is in use.
bool SetWithoutWaiters(PRKEVENT event, LONG* previous) {
  const bool enabled = arch::DisableInterruptsAndTell();
  bool done = false;
  if (KiTryAcquireObjectLock(&event->Header)) {
    done = IsListEmpty(&event->Header.WaitListHead);
    if (done) {
      *previous = event->Header.SignalState;
      event->Header.SignalState = 1;
    }
    KiReleaseObjectLock(&event->Header);
  }
  arch::RestoreInterrupts(enabled);
  return done;
}

// Object lock held: the mutant is free. Returns the thread that owned it.
PKTHREAD Disown(PRKMUTANT mutant) {
  PKTHREAD owner = mutant->OwnerThread;
  if (owner == nullptr) return nullptr;
  KiAcquireThreadLock(owner);
  RemoveEntryList(&mutant->MutantListEntry);
  KiReleaseThreadLock(owner);
  owner->KernelApcDisable = static_cast<SHORT>(owner->KernelApcDisable + mutant->ApcDisable);
  mutant->OwnerThread = nullptr;
  return owner;
}

}  // namespace

extern "C" {

/// Prepares an event: NotificationEvent (releases all, stays set) or SynchronizationEvent (releases one,
/// clears itself).
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeInitializeEvent.
NT_EXPORT(KeInitializeEvent, nt::AnyIrql(), Full, "KeEvent.*");
VOID NTAPI KeInitializeEvent(PRKEVENT Event, EVENT_TYPE Type, BOOLEAN State) {
  InitializeHeader(&Event->Header, static_cast<UCHAR>(Type), sizeof(KEVENT), State != FALSE);
}

/// Signals an event: releases one waiter (synchronization) or all (notification). Returns the previous state.
/// With Wait TRUE the IRQL stays at DISPATCH_LEVEL for the wait that follows, which restores it.
/// IRQL: <= DISPATCH_LEVEL; <= APC_LEVEL with Wait TRUE.
/// Differs from NT: none.
/// Source: WDK wdm/KeSetEvent.
NT_EXPORT(KeSetEvent, nt::AtMost(DISPATCH_LEVEL), Full, "KeEvent.*");
LONG NTAPI KeSetEvent(PRKEVENT Event, KPRIORITY Increment, BOOLEAN Wait) {
  LONG previous;
  if (!Wait && SetWithoutWaiters(Event, &previous)) return previous;
  ObjectGuard guard(&Event->Header);
  previous = Event->Header.SignalState;
  Event->Header.SignalState = 1;
  KiSignalObject(&Event->Header, Increment);
  if (Wait) guard.KeepForNextWait();
  return previous;
}

/// Signals a synchronization event; a waiter that it releases gets the processor sooner. Thread, if wanted,
/// is that waiter, or 0.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: not documented by Microsoft; signature as drivers declare it.
NT_EXPORT(KeSetEventBoostPriority, nt::AtMost(DISPATCH_LEVEL), Full, "KeEvent.*");
VOID NTAPI KeSetEventBoostPriority(PRKEVENT Event, PRKTHREAD* Thread) {
  ObjectGuard guard(&Event->Header);
  if (Thread != nullptr) *Thread = nullptr;
  LIST_ENTRY* first = Event->Header.WaitListHead.Flink;
  if (Thread != nullptr && first != &Event->Header.WaitListHead) {
    *Thread = CONTAINING_RECORD(first, KWAIT_BLOCK, WaitListEntry)->Thread;
  }
  Event->Header.SignalState = 1;
  KiSignalObject(&Event->Header, kSetEventBoost);
}

/// TRUE when no thread waits for the object.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: not documented by Microsoft; signature as drivers declare it.
NT_EXPORT(KeIsWaitListEmpty, nt::AtMost(DISPATCH_LEVEL), Full, "KeEvent.*");
BOOLEAN NTAPI KeIsWaitListEmpty(PVOID Object) {
  auto* header = static_cast<DISPATCHER_HEADER*>(Object);
  ObjectGuard guard(header);
  return IsListEmpty(&header->WaitListHead);
}

/// Clears an event; returns the previous state.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeResetEvent.
NT_EXPORT(KeResetEvent, nt::AtMost(DISPATCH_LEVEL), Full, "KeEvent.*");
LONG NTAPI KeResetEvent(PRKEVENT Event) {
  ObjectGuard guard(&Event->Header);
  const LONG previous = Event->Header.SignalState;
  Event->Header.SignalState = 0;
  return previous;
}

/// Clears an event.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeClearEvent.
NT_EXPORT(KeClearEvent, nt::AtMost(DISPATCH_LEVEL), Full, "KeEvent.*");
VOID NTAPI KeClearEvent(PRKEVENT Event) {
  __atomic_store_n(&Event->Header.SignalState, 0, __ATOMIC_SEQ_CST);
}

/// State of an event: non-zero = signalled.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeReadStateEvent.
NT_EXPORT(KeReadStateEvent, nt::AtMost(DISPATCH_LEVEL), Full, "KeEvent.*");
LONG NTAPI KeReadStateEvent(PRKEVENT Event) {
  return __atomic_load_n(&Event->Header.SignalState, __ATOMIC_ACQUIRE);
}

/// Signals an event for those who wait now, and clears it. Returns the previous state. Wait: as KeSetEvent.
/// IRQL: <= DISPATCH_LEVEL; <= APC_LEVEL with Wait TRUE.
/// Differs from NT: none.
/// Source: WDK ntifs/KePulseEvent.
NT_EXPORT(KePulseEvent, nt::AtMost(DISPATCH_LEVEL), Full, "KeEvent.*");
LONG NTAPI KePulseEvent(PRKEVENT Event, KPRIORITY Increment, BOOLEAN Wait) {
  ObjectGuard guard(&Event->Header);
  const LONG previous = Event->Header.SignalState;
  Event->Header.SignalState = 1;
  KiSignalObject(&Event->Header, Increment);
  Event->Header.SignalState = 0;
  if (Wait) guard.KeepForNextWait();
  return previous;
}

/// Prepares a semaphore.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeInitializeSemaphore.
NT_EXPORT(KeInitializeSemaphore, nt::Exactly(PASSIVE_LEVEL), Full, "KeSemaphore.*");
VOID NTAPI KeInitializeSemaphore(PRKSEMAPHORE Semaphore, LONG Count, LONG Limit) {
  InitializeHeader(&Semaphore->Header, kSemaphore, sizeof(KSEMAPHORE), Count);
  Semaphore->Limit = Limit;
}

/// Adds to a semaphore's count and releases waiters. Returns the previous count; past the limit it raises
/// STATUS_SEMAPHORE_LIMIT_EXCEEDED. Wait: as KeSetEvent.
/// IRQL: <= DISPATCH_LEVEL; <= APC_LEVEL with Wait TRUE.
/// Differs from NT: none.
/// Source: WDK wdm/KeReleaseSemaphore.
NT_EXPORT(KeReleaseSemaphore, nt::AtMost(DISPATCH_LEVEL), Full, "KeSemaphore.*");
LONG NTAPI KeReleaseSemaphore(PRKSEMAPHORE Semaphore, KPRIORITY Increment, LONG Adjustment, BOOLEAN Wait) {
  LONG previous;
  bool exceeded;
  {
    ObjectGuard guard(&Semaphore->Header);
    previous = Semaphore->Header.SignalState;
    exceeded = Adjustment <= 0 || Adjustment > Semaphore->Limit - previous;
    if (!exceeded) {
      Semaphore->Header.SignalState = previous + Adjustment;
      KiSignalObject(&Semaphore->Header, Increment);
      if (Wait) guard.KeepForNextWait();
    }
  }
  if (exceeded) ExRaiseStatus(STATUS_SEMAPHORE_LIMIT_EXCEEDED);
  return previous;
}

/// Count of a semaphore.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeReadStateSemaphore.
NT_EXPORT(KeReadStateSemaphore, nt::AnyIrql(), Full, "KeSemaphore.*");
LONG NTAPI KeReadStateSemaphore(PRKSEMAPHORE Semaphore) {
  return __atomic_load_n(&Semaphore->Header.SignalState, __ATOMIC_ACQUIRE);
}

/// Prepares a mutex that disables normal kernel APCs while it is owned.
/// IRQL: any.
/// Differs from NT: none; Level is not used by NT either.
/// Source: WDK wdm/KeInitializeMutex.
NT_EXPORT(KeInitializeMutex, nt::AnyIrql(), Full, "KeMutex.*");
VOID NTAPI KeInitializeMutex(PRKMUTEX Mutex, ULONG Level) {
  InitializeHeader(&Mutex->Header, kMutant, sizeof(KMUTANT), 1);
  Mutex->OwnerThread = nullptr;
  Mutex->Abandoned = FALSE;
  Mutex->ApcDisable = 1;
}

/// Prepares a mutant: a mutex without APC disable, possibly owned by the caller from the start.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/KeInitializeMutant.
NT_EXPORT(KeInitializeMutant, nt::AtMost(DISPATCH_LEVEL), Full, "KeMutex.*");
VOID NTAPI KeInitializeMutant(PRKMUTANT Mutant, BOOLEAN InitialOwner) {
  InitializeHeader(&Mutant->Header, kMutant, sizeof(KMUTANT), InitialOwner ? 0 : 1);
  Mutant->OwnerThread = nullptr;
  Mutant->Abandoned = FALSE;
  Mutant->ApcDisable = 0;
  if (!InitialOwner) return;
  ThreadGuard guard(KeCurrentThread());
  Mutant->OwnerThread = KeCurrentThread();
  InsertTailList(&Mutant->OwnerThread->MutantListHead, &Mutant->MutantListEntry);
}

/// Gives up one acquisition of a mutant. Abandon TRUE frees it and marks it abandoned, whoever owns it.
/// Returns the previous state. Raises STATUS_MUTANT_NOT_OWNED, or STATUS_ABANDONED for one that was
/// abandoned. Wait: as KeSetEvent.
/// IRQL: <= DISPATCH_LEVEL; <= APC_LEVEL with Wait TRUE.
/// Differs from NT: none.
/// Source: WDK ntifs/KeReleaseMutant.
NT_EXPORT(KeReleaseMutant, nt::AtMost(DISPATCH_LEVEL), Full, "KeMutex.*");
LONG NTAPI KeReleaseMutant(PRKMUTANT Mutant, KPRIORITY Increment, BOOLEAN Abandon, BOOLEAN Wait) {
  PKTHREAD thread = KeCurrentThread();
  LONG previous;
  NTSTATUS failure = STATUS_SUCCESS;
  bool check_apcs = false;
  {
    ObjectGuard guard(&Mutant->Header);
    previous = Mutant->Header.SignalState;
    if (!Abandon && Mutant->OwnerThread != thread) {
      failure = Mutant->Abandoned ? STATUS_ABANDONED : STATUS_MUTANT_NOT_OWNED;
    } else {
      Mutant->Header.SignalState = Abandon ? 1 : previous + 1;
      if (Abandon) Mutant->Abandoned = TRUE;
      if (Mutant->Header.SignalState == 1) {
        check_apcs = Disown(Mutant) == thread && Mutant->ApcDisable != 0 && thread->KernelApcDisable == 0;
        KiSignalObject(&Mutant->Header, Increment);
      }
      if (Wait) guard.KeepForNextWait();
    }
  }
  if (failure != STATUS_SUCCESS) ExRaiseStatus(failure);
  if (check_apcs) KiCheckForKernelApcDelivery();
  return previous;
}

/// Gives up one acquisition of a mutex. Returns the previous state. Wait: as KeSetEvent.
/// IRQL: <= DISPATCH_LEVEL; <= APC_LEVEL with Wait TRUE.
/// Differs from NT: none.
/// Source: WDK wdm/KeReleaseMutex.
NT_EXPORT(KeReleaseMutex, nt::AtMost(DISPATCH_LEVEL), Full, "KeMutex.*");
LONG NTAPI KeReleaseMutex(PRKMUTEX Mutex, BOOLEAN Wait) {
  return KeReleaseMutant(Mutex, 1, FALSE, Wait);
}

/// State of a mutex: 1 = free, below that = owned.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeReadStateMutex.
NT_EXPORT(KeReadStateMutex, nt::AtMost(DISPATCH_LEVEL), Full, "KeMutex.*");
LONG NTAPI KeReadStateMutex(PRKMUTEX Mutex) {
  return __atomic_load_n(&Mutex->Header.SignalState, __ATOMIC_ACQUIRE);
}

/// State of a mutant: 1 = free, below that = owned.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/KeReadStateMutant.
NT_EXPORT(KeReadStateMutant, nt::AtMost(DISPATCH_LEVEL), Full, "KeMutex.*");
LONG NTAPI KeReadStateMutant(PRKMUTANT Mutant) {
  return __atomic_load_n(&Mutant->Header.SignalState, __ATOMIC_ACQUIRE);
}

}  // extern "C"
