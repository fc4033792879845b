// APCs: special kernel ones (no normal routine) run at APC_LEVEL, normal ones then at PASSIVE_LEVEL. Those
// for user mode wait in their queue until an alertable wait in user mode, or an alert test, makes them
// pending: then they run on the way to ring 3. A thread that ends runs down what is left. A thread's queues,
// its alerts and its pending flags are under its lock.
#include "ke_internal.h"
#include "nt/export.h"

namespace {

// KAPC_ENVIRONMENT, as drivers declare it.
constexpr CCHAR kCurrentApcEnvironment = 2, kInsertApcEnvironment = 3;

PKAPC ApcOf(LIST_ENTRY* link) {
  return CONTAINING_RECORD(link, KAPC, ApcListEntry);
}
bool IsSpecial(PKAPC apc) {
  return apc->NormalRoutine == nullptr;
}
bool NormalAllowed(PKTHREAD thread) {
  return thread->KernelApcDisable == 0 && !thread->ApcState.KernelApcInProgress;
}

// The APCs of the address space that the APC was meant for: the thread's own process, or the one it is
// attached to.
KAPC_STATE* StateFor(PKTHREAD thread, PKAPC apc) {
  if (apc->ApcStateIndex == kInsertApcEnvironment)
    apc->ApcStateIndex = static_cast<CCHAR>(thread->ApcStateIndex);
  return apc->ApcStateIndex == thread->ApcStateIndex ? &thread->ApcState : &thread->SavedApcState;
}

// Special APCs before normal ones, each kind in order.
void Queue(KAPC_STATE* state, PKAPC apc) {
  LIST_ENTRY* head = &state->ApcListHead[static_cast<int>(apc->ApcMode)];
  LIST_ENTRY* at = head;
  if (IsSpecial(apc)) {
    at = head->Flink;
    while (at != head && IsSpecial(ApcOf(at))) at = at->Flink;
  }
  InsertTailList(at, &apc->ApcListEntry);
  apc->Inserted = TRUE;
  if (apc->ApcMode == KernelMode) state->KernelApcPending = TRUE;
}

// Ends the wait from which the thread looks again at what came for it.
void Interrupt(PKTHREAD thread, KPRIORITY increment) {
  if (KiClaimWait(thread, kNoteInterrupt)) KiDecideWait(thread, STATUS_KERNEL_APC, increment);
}

// A thread that is just being switched to looks for itself: it is marked running before it does.
void NotifyKernel(PKTHREAD thread, KPRIORITY increment) {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  if (thread->State == Running) {
    PKPRCB prcb = KiProcessorBlock[thread->NextProcessor];
    if (prcb == KeGetCurrentPrcb()) {
      hal::SendSelfIpi(hal::kApcVector);
    } else {
      hal::SendIpi(prcb->ApicId, hal::kApcVector);
    }
  }
  if (thread->WaitRegister != kWaitNone && KiKernelApcDue(thread, thread->WaitIrql))
    Interrupt(thread, increment);
}

void NotifyUser(PKTHREAD thread, KPRIORITY increment) {
  if (thread->WaitRegister == kWaitNone || thread->WaitMode != UserMode) return;
  if (!thread->Alertable && !thread->ApcState.UserApcPending) return;
  thread->ApcState.UserApcPending = TRUE;
  Interrupt(thread, increment);
}

// The next APC that may run now, off the queue; 0: none. `normal` disabled: special ones only.
PKAPC Take(PKTHREAD thread) {
  LIST_ENTRY* head = &thread->ApcState.ApcListHead[KernelMode];
  if (IsListEmpty(head)) {
    thread->ApcState.KernelApcPending = FALSE;
    return nullptr;
  }
  PKAPC apc = ApcOf(head->Flink);
  if (!IsSpecial(apc) && !NormalAllowed(thread)) return nullptr;
  RemoveEntryList(&apc->ApcListEntry);
  apc->Inserted = FALSE;
  if (IsListEmpty(head)) thread->ApcState.KernelApcPending = FALSE;
  return apc;
}

// The first APC for user mode; what comes after it becomes pending by an alert test.
PKAPC TakeUser(PKTHREAD thread) {
  ThreadGuard guard(thread);
  KAPC_STATE* state = &thread->ApcState;
  state->UserApcPending = FALSE;
  if (IsListEmpty(&state->ApcListHead[UserMode])) return nullptr;
  PKAPC apc = ApcOf(RemoveHeadList(&state->ApcListHead[UserMode]));
  apc->Inserted = FALSE;
  return apc;
}

// The first APC of a thread that ends; the flag keeps others from being queued.
PKAPC TakeForRundown(PKTHREAD thread) {
  ThreadGuard guard(thread);
  thread->ApcQueueable = FALSE;
  for (LIST_ENTRY& head : thread->ApcState.ApcListHead) {
    if (IsListEmpty(&head)) continue;
    PKAPC apc = ApcOf(RemoveHeadList(&head));
    apc->Inserted = FALSE;
    return apc;
  }
  return nullptr;
}

}  // namespace

extern "C" {

// Thread lock held.
bool KiKernelApcDue(PKTHREAD thread, KIRQL irql) {
  LIST_ENTRY* head = &thread->ApcState.ApcListHead[KernelMode];
  if (irql >= APC_LEVEL || thread->SpecialApcDisable != 0 || IsListEmpty(head)) return false;
  return IsSpecial(ApcOf(head->Flink)) || NormalAllowed(thread);
}

// PASSIVE_LEVEL.
VOID KiRundownApcs(PKTHREAD thread) {
  while (PKAPC apc = TakeForRundown(thread)) {
    if (apc->RundownRoutine != nullptr) {
      apc->RundownRoutine(apc);
    } else {
      ExFreePool(apc);
    }
  }
}

VOID KiDeliverUserApc(PKTRAP_FRAME trap, PKEXCEPTION_FRAME frame) {
  PKAPC apc = TakeUser(KeCurrentThread());
  if (apc == nullptr) return;
  PKNORMAL_ROUTINE normal = apc->NormalRoutine;
  PVOID context = apc->NormalContext;
  PVOID argument1 = apc->SystemArgument1;
  PVOID argument2 = apc->SystemArgument2;
  const KIRQL irql = KfRaiseIrql(APC_LEVEL);
  apc->KernelRoutine(apc, &normal, &context, &argument1, &argument2);
  KeLowerIrql(irql);
  if (normal == nullptr) {
    KeTestAlertThread(UserMode);  // the next one
  } else {
    KiEnterUserApc(trap, frame, normal, context, argument1, argument2);
  }
}

// A flag under the thread's lock, which its waits look at under the same lock.
VOID KeRequestThreadExit(PKTHREAD thread) {
  ThreadGuard guard(thread);
  thread->ExitPending = TRUE;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  if (thread->State == Running) {
    PKPRCB prcb = KiProcessorBlock[thread->NextProcessor];
    if (prcb != KeGetCurrentPrcb()) hal::SendIpi(prcb->ApicId, hal::kApcVector);
  }
  if (thread->WaitRegister != kWaitNone && thread->WaitMode == UserMode) Interrupt(thread, 0);
}

// At APC_LEVEL.
VOID KiDeliverApc() {
  PKTHREAD thread = KeCurrentThread();
  if (thread->SpecialApcDisable != 0) return;
  for (;;) {
    const KIRQL irql = KfRaiseIrql(DISPATCH_LEVEL);
    KiAcquireThreadLock(thread);
    PKAPC apc = Take(thread);
    KiReleaseThreadLock(thread);
    KeLowerIrql(irql);
    if (apc == nullptr) return;
    PKNORMAL_ROUTINE normal = apc->NormalRoutine;
    PVOID context = apc->NormalContext;
    PVOID argument1 = apc->SystemArgument1;
    PVOID argument2 = apc->SystemArgument2;
    apc->KernelRoutine(apc, &normal, &context, &argument1, &argument2);
    if (normal == nullptr) continue;
    thread->ApcState.KernelApcInProgress = TRUE;
    KeLowerIrql(PASSIVE_LEVEL);
    normal(context, argument1, argument2);
    KfRaiseIrql(APC_LEVEL);
    thread->ApcState.KernelApcInProgress = FALSE;
  }
}

// Something that held APCs back ended.
VOID KiCheckForKernelApcDelivery() {
  PKTHREAD thread = KeCurrentThread();
  if (!thread->ApcState.KernelApcPending || thread->SpecialApcDisable != 0) return;
  if (KeGetCurrentIrql() >= APC_LEVEL) {
    hal::SendSelfIpi(hal::kApcVector);
    return;
  }
  const KIRQL irql = KfRaiseIrql(APC_LEVEL);
  KiDeliverApc();
  KeLowerIrql(irql);
}

VOID KiHandleApcInterrupt(PKTRAP_FRAME) {
  hal::EndOfInterrupt();
  KiDeliverApc();
}

/// Prepares an APC. Environment: 0 = the thread's own process, 1 = the one it is attached to, 2 = the current
/// one, 3 = the one at the time of the insertion.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: not documented by Microsoft; signature as drivers declare it.
NT_EXPORT(KeInitializeApc, nt::AtMost(DISPATCH_LEVEL), Full, "KeApc.*");
VOID NTAPI KeInitializeApc(PRKAPC Apc, PRKTHREAD Thread, ULONG Environment, PKKERNEL_ROUTINE KernelRoutine,
                           PKRUNDOWN_ROUTINE RundownRoutine, PKNORMAL_ROUTINE NormalRoutine,
                           KPROCESSOR_MODE ApcMode, PVOID NormalContext) {
  Apc->Type = kApcObject;
  Apc->Size = sizeof(KAPC);
  Apc->Thread = Thread;
  Apc->ApcStateIndex =
      static_cast<CCHAR>(Environment == kCurrentApcEnvironment ? Thread->ApcStateIndex : Environment);
  Apc->KernelRoutine = KernelRoutine;
  Apc->RundownRoutine = RundownRoutine;
  Apc->NormalRoutine = NormalRoutine;
  Apc->ApcMode = NormalRoutine != nullptr ? ApcMode : static_cast<KPROCESSOR_MODE>(KernelMode);
  Apc->NormalContext = NormalRoutine != nullptr ? NormalContext : nullptr;
  Apc->Inserted = FALSE;
}

/// Queues an APC to its thread. Returns FALSE if it is queued already or the thread has ended. One for user
/// mode ends an alertable wait in user mode with STATUS_USER_APC; its normal routine runs in ring 3, called
/// by ntdll!KiUserApcDispatcher.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: not documented by Microsoft; signature as drivers declare it.
NT_EXPORT(KeInsertQueueApc, nt::AtMost(DISPATCH_LEVEL), Full, "KeApc.* UserApc.*");
BOOLEAN NTAPI KeInsertQueueApc(PRKAPC Apc, PVOID SystemArgument1, PVOID SystemArgument2,
                               KPRIORITY Increment) {
  PKTHREAD thread = Apc->Thread;
  ThreadGuard guard(thread);
  if (Apc->Inserted || !thread->ApcQueueable) return FALSE;
  Apc->SystemArgument1 = SystemArgument1;
  Apc->SystemArgument2 = SystemArgument2;
  KAPC_STATE* state = StateFor(thread, Apc);
  Queue(state, Apc);
  if (state != &thread->ApcState) return TRUE;  // due when the thread is back in that address space
  if (Apc->ApcMode == KernelMode) {
    NotifyKernel(thread, Increment);
  } else {
    NotifyUser(thread, Increment);
  }
  return TRUE;
}

/// Alerts a thread: an alertable wait in that mode, or a more privileged one, ends with STATUS_ALERTED, now
/// or when it begins. Returns whether the thread was alerted already.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: not documented by Microsoft; signature as drivers declare it.
NT_EXPORT(KeAlertThread, nt::AtMost(DISPATCH_LEVEL), Full, "KeAlert.*");
BOOLEAN NTAPI KeAlertThread(PKTHREAD Thread, KPROCESSOR_MODE AlertMode) {
  ThreadGuard guard(Thread);
  BOOLEAN* flag = &Thread->Alerted[static_cast<int>(AlertMode)];
  const BOOLEAN previous = *flag;
  *flag = TRUE;
  const bool reaches = AlertMode == KernelMode || Thread->WaitMode == UserMode;
  if (!previous && Thread->WaitRegister != kWaitNone && Thread->Alertable && reaches) Interrupt(Thread, 0);
  return previous;
}

/// Clears the current thread's alert for that mode and returns whether it was set. In user mode a queued user
/// APC becomes pending.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: not documented by Microsoft; signature as drivers declare it.
NT_EXPORT(KeTestAlertThread, nt::AtMost(DISPATCH_LEVEL), Full, "KeAlert.*");
BOOLEAN NTAPI KeTestAlertThread(KPROCESSOR_MODE AlertMode) {
  PKTHREAD thread = KeCurrentThread();
  ThreadGuard guard(thread);
  BOOLEAN* flag = &thread->Alerted[static_cast<int>(AlertMode)];
  const BOOLEAN previous = *flag;
  *flag = FALSE;
  KAPC_STATE* state = &thread->ApcState;
  if (!previous && AlertMode == UserMode && !IsListEmpty(&state->ApcListHead[UserMode]))
    state->UserApcPending = TRUE;
  return previous;
}

/// Disables normal kernel APCs for the thread until KeLeaveCriticalRegion; nests.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeEnterCriticalRegion.
NT_EXPORT(KeEnterCriticalRegion, nt::AtMost(APC_LEVEL), Full, "KeApc.*");
VOID NTAPI KeEnterCriticalRegion() {
  PKTHREAD thread = KeCurrentThread();
  thread->KernelApcDisable = static_cast<SHORT>(thread->KernelApcDisable - 1);
}

/// Ends a critical region; the last one delivers what waited.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeLeaveCriticalRegion.
NT_EXPORT(KeLeaveCriticalRegion, nt::AtMost(APC_LEVEL), Full, "KeApc.*");
VOID NTAPI KeLeaveCriticalRegion() {
  PKTHREAD thread = KeCurrentThread();
  thread->KernelApcDisable = static_cast<SHORT>(thread->KernelApcDisable + 1);
  if (thread->KernelApcDisable == 0) KiCheckForKernelApcDelivery();
}

/// Disables all kernel APCs for the thread until KeLeaveGuardedRegion; nests.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeEnterGuardedRegion.
NT_EXPORT(KeEnterGuardedRegion, nt::AtMost(APC_LEVEL), Full, "KeApc.*");
VOID NTAPI KeEnterGuardedRegion() {
  PKTHREAD thread = KeCurrentThread();
  thread->SpecialApcDisable = static_cast<SHORT>(thread->SpecialApcDisable - 1);
}

/// Ends a guarded region; the last one delivers what waited.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeLeaveGuardedRegion.
NT_EXPORT(KeLeaveGuardedRegion, nt::AtMost(APC_LEVEL), Full, "KeApc.*");
VOID NTAPI KeLeaveGuardedRegion() {
  PKTHREAD thread = KeCurrentThread();
  thread->SpecialApcDisable = static_cast<SHORT>(thread->SpecialApcDisable + 1);
  if (thread->SpecialApcDisable == 0) KiCheckForKernelApcDelivery();
}

/// TRUE when normal kernel APCs cannot be delivered to the thread now.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeAreApcsDisabled.
NT_EXPORT(KeAreApcsDisabled, nt::AtMost(DISPATCH_LEVEL), Full, "KeApc.*");
BOOLEAN NTAPI KeAreApcsDisabled() {
  return KeCurrentThread()->CombinedApcDisable != 0;
}

/// TRUE when no kernel APC at all can be delivered: guarded region or IRQL >= APC_LEVEL.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeAreAllApcsDisabled.
NT_EXPORT(KeAreAllApcsDisabled, nt::AtMost(DISPATCH_LEVEL), Full, "KeApc.*");
BOOLEAN NTAPI KeAreAllApcsDisabled() {
  return KeCurrentThread()->SpecialApcDisable != 0 || KeGetCurrentIrql() >= APC_LEVEL;
}

}  // extern "C"
