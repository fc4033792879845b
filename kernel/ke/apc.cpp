// Kernel APCs: special ones (no normal routine) run at APC_LEVEL, normal ones then at PASSIVE_LEVEL. There
// are no user APCs.
#include "ke_internal.h"
#include "nt/export.h"

namespace {

bool IsSpecial(PKAPC apc) {
  return apc->NormalRoutine == nullptr;
}

// Special APCs before normal ones, each kind in order.
void Queue(PKTHREAD thread, PKAPC apc) {
  LIST_ENTRY* head = &thread->ApcState.ApcListHead[KernelMode];
  LIST_ENTRY* at = head;
  if (IsSpecial(apc)) {
    at = head->Flink;
    while (at != head && IsSpecial(CONTAINING_RECORD(at, KAPC, ApcListEntry))) at = at->Flink;
  }
  InsertTailList(at, &apc->ApcListEntry);
  apc->Inserted = TRUE;
  thread->ApcState.KernelApcPending = TRUE;
}

void Notify(PKTHREAD thread, PKAPC apc, KPRIORITY increment) {
  if (thread->State == Running) {
    PKPRCB prcb = KiProcessorBlock[thread->NextProcessor];
    if (prcb == KeGetCurrentPrcb()) {
      hal::SendSelfIpi(hal::kApcVector);
    } else {
      hal::SendIpi(prcb->ApicId, hal::kApcVector);
    }
    return;
  }
  const bool allowed =
      thread->SpecialApcDisable == 0 &&
      (IsSpecial(apc) || (thread->KernelApcDisable == 0 && !thread->ApcState.KernelApcInProgress));
  if (thread->State == Waiting && thread->WaitIrql < APC_LEVEL && allowed) {
    KiUnwaitThread(thread, STATUS_KERNEL_APC, increment);
  }
}

// The next APC that may run now, off the queue; 0: none. `normal` disabled: special ones only.
PKAPC Take(PKTHREAD thread) {
  LIST_ENTRY* head = &thread->ApcState.ApcListHead[KernelMode];
  if (IsListEmpty(head)) {
    thread->ApcState.KernelApcPending = FALSE;
    return nullptr;
  }
  PKAPC apc = CONTAINING_RECORD(head->Flink, KAPC, ApcListEntry);
  if (!IsSpecial(apc) && (thread->KernelApcDisable != 0 || thread->ApcState.KernelApcInProgress))
    return nullptr;
  RemoveEntryList(&apc->ApcListEntry);
  apc->Inserted = FALSE;
  if (IsListEmpty(head)) thread->ApcState.KernelApcPending = FALSE;
  return apc;
}

}  // namespace

extern "C" {

// At APC_LEVEL.
VOID KiDeliverApc() {
  PKTHREAD thread = KeCurrentThread();
  if (thread->SpecialApcDisable != 0) return;
  for (;;) {
    KIRQL irql = KfRaiseIrql(DISPATCH_LEVEL);
    KiLockDispatcherAtDispatch();
    PKAPC apc = Take(thread);
    KiExitDispatcher(irql);
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

/// Prepares an APC.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: kernel mode only: an APC for user mode is never delivered.
/// Source: not documented by Microsoft; signature as drivers declare it.
NT_EXPORT(KeInitializeApc, nt::AtMost(DISPATCH_LEVEL), Partial, "KeApc.*");
VOID NTAPI KeInitializeApc(PRKAPC Apc, PRKTHREAD Thread, ULONG Environment, PKKERNEL_ROUTINE KernelRoutine,
                           PKRUNDOWN_ROUTINE RundownRoutine, PKNORMAL_ROUTINE NormalRoutine,
                           KPROCESSOR_MODE ApcMode, PVOID NormalContext) {
  Apc->Type = kApcObject;
  Apc->Size = sizeof(KAPC);
  Apc->Thread = Thread;
  Apc->ApcStateIndex = static_cast<CCHAR>(Environment);
  Apc->KernelRoutine = KernelRoutine;
  Apc->RundownRoutine = RundownRoutine;
  Apc->NormalRoutine = NormalRoutine;
  Apc->ApcMode = NormalRoutine != nullptr ? ApcMode : static_cast<KPROCESSOR_MODE>(KernelMode);
  Apc->NormalContext = NormalRoutine != nullptr ? NormalContext : nullptr;
  Apc->Inserted = FALSE;
}

/// Queues an APC to its thread. Returns FALSE if it is queued already, is for user mode, or the thread has
/// ended. IRQL: <= DISPATCH_LEVEL. Differs from NT: user-mode APCs are refused. Source: not documented by
/// Microsoft; signature as drivers declare it.
NT_EXPORT(KeInsertQueueApc, nt::AtMost(DISPATCH_LEVEL), Partial, "KeApc.*");
BOOLEAN NTAPI KeInsertQueueApc(PRKAPC Apc, PVOID SystemArgument1, PVOID SystemArgument2,
                               KPRIORITY Increment) {
  DispatcherGuard guard;
  PKTHREAD thread = Apc->Thread;
  if (Apc->Inserted || Apc->ApcMode != KernelMode || thread->State == Terminated) return FALSE;
  Apc->SystemArgument1 = SystemArgument1;
  Apc->SystemArgument2 = SystemArgument2;
  Queue(thread, Apc);
  Notify(thread, Apc, Increment);
  return TRUE;
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
