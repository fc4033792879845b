// Priorities, affinity and giving way.
#include "ke_internal.h"
#include "nt/export.h"

namespace {

KPRIORITY Clamped(KPRIORITY priority) {
  if (priority < LOW_PRIORITY + 1) return LOW_PRIORITY + 1;
  return priority > HIGH_PRIORITY ? HIGH_PRIORITY : priority;
}

// A thread in a ready queue is placed anew: it may have lost that processor, or gained one that runs less. A
// standby thread leaves a processor that it may no longer use, and so does one that runs there, as soon as
// that processor is below DISPATCH_LEVEL.
void SetAffinity(PKTHREAD thread, KAFFINITY affinity) {
  PKPRCB prcb = KiLockSettledThread(thread);
  thread->Affinity = affinity;
  if ((affinity & (1ull << thread->IdealProcessor)) == 0) {
    thread->IdealProcessor = static_cast<ULONG>(__builtin_ctzll(affinity));
  }
  const bool misplaced = prcb != nullptr && (affinity & prcb->SetMember) == 0;
  if (prcb != nullptr && thread->State == Ready) {
    KiRemoveReady(thread, prcb);
    KiDeferReady(thread);
  } else if (misplaced && prcb->NextThread == thread) {
    prcb->NextThread = nullptr;
    KeGetCurrentPrcb()->RefillSet |= prcb->SetMember;
    KiDeferReady(thread);
  }
  KiUnlockSettledThread(thread, prcb);
  if (misplaced && prcb != KeGetCurrentPrcb()) KiRequestDispatchInterrupt(prcb);
}

}  // namespace

extern "C" {

/// Sets a thread's current and base priority (1..31); returns the previous current one.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeSetPriorityThread.
NT_EXPORT(KeSetPriorityThread, nt::Exactly(PASSIVE_LEVEL), Full, "KeThread.*");
KPRIORITY NTAPI KeSetPriorityThread(PKTHREAD Thread, KPRIORITY Priority) {
  Priority = Clamped(Priority);
  DispatchGuard guard;
  const KPRIORITY previous = Thread->Priority;
  KiSetPriority(Thread, Priority, Priority);
  return previous;
}

/// A thread's current priority.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeQueryPriorityThread.
NT_EXPORT(KeQueryPriorityThread, nt::Exactly(PASSIVE_LEVEL), Full, "KeThread.*");
KPRIORITY NTAPI KeQueryPriorityThread(PKTHREAD Thread) {
  return Thread->Priority;
}

/// Sets a thread's base priority relative to its process, and the current one with it; returns the previous
/// increment.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/KeSetBasePriorityThread.
NT_EXPORT(KeSetBasePriorityThread, nt::Exactly(PASSIVE_LEVEL), Full, "KeThread.*");
LONG NTAPI KeSetBasePriorityThread(PKTHREAD Thread, LONG Increment) {
  DispatchGuard guard;
  const LONG previous = Thread->BasePriority - Thread->Process->BasePriority;
  const KPRIORITY base = Clamped(Thread->Process->BasePriority + Increment);
  KiSetPriority(Thread, base, base);
  return previous;
}

/// Sets a thread's base priority (1..31), and the current one with it; returns the previous base priority.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: not documented by Microsoft; signature as drivers declare it.
NT_EXPORT(KeSetActualBasePriorityThread, nt::AtMost(DISPATCH_LEVEL), Full, "KeThread.*");
KPRIORITY NTAPI KeSetActualBasePriorityThread(PKTHREAD Thread, KPRIORITY Priority) {
  DispatchGuard guard;
  const KPRIORITY previous = Thread->BasePriority;
  KiSetPriority(Thread, Clamped(Priority), Clamped(Priority));
  return previous;
}

/// Binds the current thread to the given processors; below DISPATCH_LEVEL it runs on one of them when this
/// returns. The previous set, 0 if it was the thread's own, is for KeRevertToUserAffinityThreadEx.
/// IRQL: <= DISPATCH_LEVEL; at DISPATCH_LEVEL the thread moves when the IRQL is lowered.
/// Differs from NT: none.
/// Source: WDK wdm/KeSetSystemAffinityThreadEx.
NT_EXPORT(KeSetSystemAffinityThreadEx, nt::AtMost(DISPATCH_LEVEL), Full, "KeThread.*");
KAFFINITY NTAPI KeSetSystemAffinityThreadEx(KAFFINITY Affinity) {
  PKTHREAD thread = KeCurrentThread();
  const KAFFINITY usable = Affinity & KeActiveProcessors;
  const KAFFINITY previous = thread->Affinity == thread->UserAffinity ? 0 : thread->Affinity;
  if (usable == 0) return previous;
  DispatchGuard guard;  // at its end the thread moves
  SetAffinity(thread, usable);
  return previous;
}

/// Binds the thread to the given processors.
/// IRQL: <= DISPATCH_LEVEL; at DISPATCH_LEVEL the thread moves when the IRQL is lowered.
/// Differs from NT: none.
/// Source: WDK ntddk/KeSetSystemAffinityThread.
NT_EXPORT(KeSetSystemAffinityThread, nt::AtMost(DISPATCH_LEVEL), Full, "KeThread.*");
VOID NTAPI KeSetSystemAffinityThread(KAFFINITY Affinity) {
  KeSetSystemAffinityThreadEx(Affinity);
}

/// Undoes KeSetSystemAffinityThreadEx: the argument is what that returned.
/// IRQL: <= DISPATCH_LEVEL; at DISPATCH_LEVEL the thread moves when the IRQL is lowered.
/// Differs from NT: none.
/// Source: WDK wdm/KeRevertToUserAffinityThreadEx.
NT_EXPORT(KeRevertToUserAffinityThreadEx, nt::AtMost(DISPATCH_LEVEL), Full, "KeThread.*");
VOID NTAPI KeRevertToUserAffinityThreadEx(KAFFINITY Affinity) {
  PKTHREAD thread = KeCurrentThread();
  DispatchGuard guard;
  SetAffinity(thread, Affinity != 0 ? Affinity : thread->UserAffinity);
}

/// Undoes KeSetSystemAffinityThread.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/KeRevertToUserAffinityThread.
NT_EXPORT(KeRevertToUserAffinityThread, nt::AtMost(APC_LEVEL), Full, "KeThread.*");
VOID NTAPI KeRevertToUserAffinityThread() {
  KeRevertToUserAffinityThreadEx(0);
}

/// Binds any thread to the given processors, which become its own set; returns the previous one. One that
/// runs elsewhere leaves when its processor comes below DISPATCH_LEVEL.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: not documented by Microsoft; signature as drivers declare it.
NT_EXPORT(KeSetAffinityThread, nt::AtMost(DISPATCH_LEVEL), Full, "KeThread.*");
KAFFINITY NTAPI KeSetAffinityThread(PKTHREAD Thread, KAFFINITY Affinity) {
  const KAFFINITY usable = Affinity & KeActiveProcessors;
  const KAFFINITY previous = Thread->UserAffinity;
  if (usable == 0) return previous;
  DispatchGuard guard;
  Thread->UserAffinity = usable;
  SetAffinity(Thread, usable);
  return previous;
}

NTSTATUS NTAPI NtYieldExecution() {
  PKTHREAD thread = KeCurrentThread();
  const ULONG switches = thread->ContextSwitches;
  const KIRQL irql = KfRaiseIrql(DISPATCH_LEVEL);
  KiYield();
  KiExitDispatcher(irql);
  return thread->ContextSwitches == switches ? STATUS_NO_YIELD_PERFORMED : STATUS_SUCCESS;
}

/// Lets another ready thread of the same or higher priority run. Returns STATUS_NO_YIELD_PERFORMED if there
/// is none.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ZwYieldExecution.
NT_EXPORT(ZwYieldExecution, nt::AtMost(APC_LEVEL), Full, "KeThread.*");
NTSTATUS NTAPI ZwYieldExecution() {
  return NtYieldExecution();
}

}  // extern "C"
