// Events, semaphores, mutexes.
#include "ke_internal.h"
#include "nt/export.h"

namespace {

void InitializeHeader(DISPATCHER_HEADER* header, UCHAR type, SIZE_T size, LONG state) {
  header->Type = type;
  header->Abandoned = 0;
  header->Size = static_cast<UCHAR>(size / sizeof(ULONG));
  header->DpcActive = 0;
  header->SignalState = state;
  InitializeListHead(&header->WaitListHead);
}

// Signals an event for which nobody waits: that concerns no thread, so a moment with interrupts off will do,
// which is cheaper than raising the IRQL. False: somebody waits, or the dispatcher is busy.
bool SetWithoutWaiters(PRKEVENT event, LONG* previous) {
  const bool enabled = arch::DisableInterruptsAndTell();
  bool done = false;
  if (KiTryLockDispatcher()) {
    done = IsListEmpty(&event->Header.WaitListHead);
    if (done) {
      *previous = event->Header.SignalState;
      event->Header.SignalState = 1;
    }
    KiUnlockDispatcherFromDispatch();
  }
  arch::RestoreInterrupts(enabled);
  return done;
}

}  // namespace

extern "C" {

/// Prepares an event: NotificationEvent (releases all, stays set) or SynchronizationEvent (releases one,
/// clears itself). IRQL: any. Differs from NT: none. Source: WDK wdm/KeInitializeEvent.
NT_EXPORT(KeInitializeEvent, nt::AnyIrql(), Full, "KeEvent.*");
VOID NTAPI KeInitializeEvent(PRKEVENT Event, EVENT_TYPE Type, BOOLEAN State) {
  InitializeHeader(&Event->Header, static_cast<UCHAR>(Type), sizeof(KEVENT), State != FALSE);
}

/// Signals an event: releases one waiter (synchronization) or all (notification). Returns the previous state.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: Wait TRUE does not keep the dispatcher locked until the next wait: the caller may be
/// preempted. Source: WDK wdm/KeSetEvent.
NT_EXPORT(KeSetEvent, nt::AtMost(DISPATCH_LEVEL), Partial, "KeEvent.*");
LONG NTAPI KeSetEvent(PRKEVENT Event, KPRIORITY Increment, BOOLEAN Wait) {
  LONG previous;
  if (SetWithoutWaiters(Event, &previous)) return previous;
  DispatcherGuard guard;
  previous = Event->Header.SignalState;
  Event->Header.SignalState = 1;
  KiSignalObject(&Event->Header, Increment);
  return previous;
}

/// Clears an event; returns the previous state.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeResetEvent.
NT_EXPORT(KeResetEvent, nt::AtMost(DISPATCH_LEVEL), Full, "KeEvent.*");
LONG NTAPI KeResetEvent(PRKEVENT Event) {
  DispatcherGuard guard;
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

/// Signals an event for those who wait now, and clears it. Returns the previous state.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: Wait TRUE does not keep the dispatcher locked until the next wait.
/// Source: WDK ntifs/KePulseEvent.
NT_EXPORT(KePulseEvent, nt::AtMost(DISPATCH_LEVEL), Partial, "KeEvent.*");
LONG NTAPI KePulseEvent(PRKEVENT Event, KPRIORITY Increment, BOOLEAN Wait) {
  DispatcherGuard guard;
  const LONG previous = Event->Header.SignalState;
  Event->Header.SignalState = 1;
  KiSignalObject(&Event->Header, Increment);
  Event->Header.SignalState = 0;
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
/// STATUS_SEMAPHORE_LIMIT_EXCEEDED.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: Wait TRUE does not keep the dispatcher locked until the next wait.
/// Source: WDK wdm/KeReleaseSemaphore.
NT_EXPORT(KeReleaseSemaphore, nt::AtMost(DISPATCH_LEVEL), Partial, "KeSemaphore.*");
LONG NTAPI KeReleaseSemaphore(PRKSEMAPHORE Semaphore, KPRIORITY Increment, LONG Adjustment, BOOLEAN Wait) {
  LONG previous;
  bool exceeded;
  {
    DispatcherGuard guard;
    previous = Semaphore->Header.SignalState;
    exceeded = Adjustment <= 0 || Adjustment > Semaphore->Limit - previous;
    if (!exceeded) {
      Semaphore->Header.SignalState = previous + Adjustment;
      KiSignalObject(&Semaphore->Header, Increment);
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
  DispatcherGuard guard;
  Mutant->OwnerThread = KeCurrentThread();
  InsertTailList(&Mutant->OwnerThread->MutantListHead, &Mutant->MutantListEntry);
}

/// Gives up one acquisition of a mutant. Abandon TRUE marks it abandoned whoever owns it. Returns the
/// previous state. IRQL: <= DISPATCH_LEVEL. Differs from NT: Wait TRUE does not keep the dispatcher locked
/// until the next wait. Source: WDK ntifs/KeReleaseMutant.
NT_EXPORT(KeReleaseMutant, nt::AtMost(DISPATCH_LEVEL), Partial, "KeMutex.*");
LONG NTAPI KeReleaseMutant(PRKMUTANT Mutant, KPRIORITY Increment, BOOLEAN Abandon, BOOLEAN Wait) {
  PKTHREAD thread = KeCurrentThread();
  LONG previous;
  bool owned = true;
  bool check_apcs = false;
  {
    DispatcherGuard guard;
    previous = Mutant->Header.SignalState;
    owned = Abandon || Mutant->OwnerThread == thread;
    if (owned) {
      Mutant->Header.SignalState = Abandon ? 1 : previous + 1;
      if (Abandon) Mutant->Abandoned = TRUE;
      if (Mutant->Header.SignalState == 1 && Mutant->OwnerThread != nullptr) {
        PKTHREAD owner = Mutant->OwnerThread;
        RemoveEntryList(&Mutant->MutantListEntry);
        owner->KernelApcDisable = static_cast<SHORT>(owner->KernelApcDisable + Mutant->ApcDisable);
        check_apcs = owner == thread && Mutant->ApcDisable != 0 && owner->KernelApcDisable == 0;
        Mutant->OwnerThread = nullptr;
        KiSignalObject(&Mutant->Header, Increment);
      }
    }
  }
  if (!owned) ExRaiseStatus(STATUS_MUTANT_NOT_OWNED);
  if (check_apcs) KiCheckForKernelApcDelivery();
  return previous;
}

/// Gives up one acquisition of a mutex. Returns the previous state.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: Wait TRUE does not keep the dispatcher locked until the next wait.
/// Source: WDK wdm/KeReleaseMutex.
NT_EXPORT(KeReleaseMutex, nt::AtMost(DISPATCH_LEVEL), Partial, "KeMutex.*");
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
