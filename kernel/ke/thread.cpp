// Threads and processes: preparation, start, end, priority, affinity.
#include "ke_internal.h"
#include "nt/export.h"

namespace {

constinit PKTHREAD_REAPER thread_reaper = nullptr;

// What KiStartSystemThread finds on its stack.
struct StartFrame {
  KSWITCH_FRAME switch_frame;
  ULONG64 return_address;  // 0: the end of every stack
  PKSYSTEM_ROUTINE system_routine;
  PKSTART_ROUTINE start;
  PVOID context;
};

// The stack as KiSwapContext expects it: SwapContext "returns" into KiStartSystemThread with (rsp & 15) == 8.
void PrepareStack(PKTHREAD thread, PKSYSTEM_ROUTINE system_routine, PKSTART_ROUTINE start, PVOID context) {
  ULONG64 top = reinterpret_cast<ULONG64>(thread->InitialStack) - 0x50;
  top -= FIELD_OFFSET(StartFrame, return_address);
  top = (top & ~15ull) + 8 - (FIELD_OFFSET(StartFrame, return_address) & 15);
  auto* frame = reinterpret_cast<StartFrame*>(top);
  RtlZeroMemory(frame, sizeof(*frame));
  frame->switch_frame.Return = reinterpret_cast<ULONG64>(&KiStartSystemThread);
  frame->system_routine = system_routine;
  frame->start = start;
  frame->context = context;
  thread->KernelStack = frame;
}

}  // namespace

extern "C" {

VOID KeInitializeProcess(PKPROCESS process, KPRIORITY base_priority, KAFFINITY affinity,
                         ULONG64 directory_table_base) {
  process->Header.Type = kProcess;
  process->Header.Size = sizeof(KPROCESS) / sizeof(ULONG);
  InitializeListHead(&process->Header.WaitListHead);
  InitializeListHead(&process->ProfileListHead);
  InitializeListHead(&process->ThreadListHead);
  process->DirectoryTableBase = directory_table_base;
  process->BasePriority = static_cast<SCHAR>(base_priority);
  process->Affinity = affinity;
  process->QuantumReset = static_cast<UCHAR>(kQuantumUnits / kTickUnits);
}

VOID KeInitThread(PKTHREAD thread, PVOID stack_base, PVOID stack_limit, PKSYSTEM_ROUTINE system_routine,
                  PKSTART_ROUTINE start, PVOID context, PKPROCESS process) {
  thread->Header.Type = kThread;
  thread->Header.Size = sizeof(KTHREAD) / sizeof(ULONG) & 0xFF;
  InitializeListHead(&thread->Header.WaitListHead);
  InitializeListHead(&thread->MutantListHead);
  InitializeListHead(&thread->QueueListEntry);
  for (LIST_ENTRY& head : thread->ApcState.ApcListHead) InitializeListHead(&head);
  thread->ApcState.Process = process;
  thread->Process = process;
  KeInitializeTimer(&thread->Timer);
  thread->StackBase = stack_base;
  thread->StackLimit = stack_limit;
  thread->InitialStack = stack_base;
  thread->State = Initialized;
  thread->Priority = thread->BasePriority = process->BasePriority;
  thread->PreviousMode = KernelMode;
  thread->Affinity = thread->UserAffinity = process->Affinity;
  thread->QuantumReset = process->QuantumReset;
  thread->NextProcessor = thread->IdealProcessor = KeCurrentProcessor();
  thread->LockEntries = CONTAINING_RECORD(thread, ETHREAD, Tcb)->LockEntryArray;
  if (system_routine != nullptr) PrepareStack(thread, system_routine, start, context);
  DispatcherGuard guard;
  InsertTailList(&process->ThreadListHead, &thread->ThreadListEntry);
}

VOID KeStartThread(PKTHREAD thread) {
  static volatile ULONG next_ideal;
  DispatcherGuard guard;
  thread->IdealProcessor = thread->NextProcessor =
      __atomic_fetch_add(&next_ideal, 1, __ATOMIC_RELAXED) % static_cast<ULONG>(KeNumberProcessors);
  thread->WaitTime = KiTickCount();
  KiReadyThread(thread);
}

[[noreturn]] VOID KeTerminateThread(KPRIORITY increment) {
  PKTHREAD thread = KeCurrentThread();
  KfRaiseIrql(DISPATCH_LEVEL);
  KiLockDispatcherAtDispatch();
  PKPRCB prcb = KeGetCurrentPrcb();
  RemoveEntryList(&thread->ThreadListEntry);
  KiAbandonMutants(thread);
  if (thread->Queue != nullptr) {
    RemoveEntryList(&thread->QueueListEntry);
    KiQueueThreadBlocks(thread->Queue);
    thread->Queue = nullptr;
  }
  thread->Header.SignalState = 1;
  KiSignalObject(&thread->Header, increment);
  thread->State = Terminated;
  prcb->ExitedThread = thread;
  KiSwapThread(thread, prcb);
  KiAssertFailed("a terminated thread came back", "thread.cpp", __LINE__);
}

VOID KeSetThreadReaper(PKTHREAD_REAPER reaper) {
  thread_reaper = reaper;
}

// System thread: gives back what ended threads leave.
VOID KiReaperThread(PVOID) {
  for (;;) {
    PKTHREAD thread = KiTakeReaperList();
    while (thread != nullptr) {
      auto* next = static_cast<PKTHREAD>(thread->Win32Thread);
      thread->Win32Thread = nullptr;
      if (thread_reaper != nullptr) thread_reaper(thread);
      thread = next;
    }
  }
}

/// Sets a thread's current and base priority (1..31); returns the previous current one.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeSetPriorityThread.
NT_EXPORT(KeSetPriorityThread, nt::Exactly(PASSIVE_LEVEL), Full, "KeThread.*");
KPRIORITY NTAPI KeSetPriorityThread(PKTHREAD Thread, KPRIORITY Priority) {
  if (Priority < LOW_PRIORITY + 1) Priority = LOW_PRIORITY + 1;
  if (Priority > HIGH_PRIORITY) Priority = HIGH_PRIORITY;
  DispatcherGuard guard;
  const KPRIORITY previous = Thread->Priority;
  Thread->BasePriority = static_cast<SCHAR>(Priority);
  KiSetPriority(Thread, Priority);
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

/// Sets a thread's base priority relative to its process; returns the previous increment.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/KeSetBasePriorityThread.
NT_EXPORT(KeSetBasePriorityThread, nt::Exactly(PASSIVE_LEVEL), Full, "KeThread.*");
LONG NTAPI KeSetBasePriorityThread(PKTHREAD Thread, LONG Increment) {
  DispatcherGuard guard;
  const LONG previous = Thread->BasePriority - Thread->Process->BasePriority;
  LONG base = Thread->Process->BasePriority + Increment;
  if (base < LOW_PRIORITY + 1) base = LOW_PRIORITY + 1;
  if (base > HIGH_PRIORITY) base = HIGH_PRIORITY;
  Thread->BasePriority = static_cast<SCHAR>(base);
  KiSetPriority(Thread, base);
  return previous;
}

/// The running thread.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeGetCurrentThread.
NT_EXPORT(KeGetCurrentThread, nt::AnyIrql(), Full, "KeThread.*");
PKTHREAD NTAPI KeGetCurrentThread() {
  return KeCurrentThread();
}

/// Binds the thread to the given processors; returns when it runs on one of them. The previous set, 0 if it
/// was the thread's own, is for KeRevertToUserAffinityThreadEx. IRQL: <= APC_LEVEL. Differs from NT: none.
/// Source: WDK wdm/KeSetSystemAffinityThreadEx.
NT_EXPORT(KeSetSystemAffinityThreadEx, nt::AtMost(DISPATCH_LEVEL), Full, "KeThread.*");
KAFFINITY NTAPI KeSetSystemAffinityThreadEx(KAFFINITY Affinity) {
  PKTHREAD thread = KeCurrentThread();
  const KAFFINITY usable = Affinity & KeActiveProcessors;
  const KAFFINITY previous = thread->Affinity == thread->UserAffinity ? 0 : thread->Affinity;
  if (usable == 0) return previous;
  KIRQL irql = KfRaiseIrql(DISPATCH_LEVEL);
  KiLockDispatcherAtDispatch();
  PKPRCB prcb = KeGetCurrentPrcb();
  thread->Affinity = usable;
  if ((usable & prcb->SetMember) != 0 || irql >= DISPATCH_LEVEL) {
    if ((usable & prcb->SetMember) == 0) KiRequestDispatchInterrupt(prcb);
    KiExitDispatcher(irql);
    return previous;
  }
  thread->IdealProcessor = static_cast<ULONG>(__builtin_ctzll(usable));
  thread->WaitIrql = irql;
  KiReadyThread(thread);
  KiSwapThread(thread, prcb);
  KeLowerIrql(irql);
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
  KeSetSystemAffinityThreadEx(Affinity != 0 ? Affinity : KeCurrentThread()->UserAffinity);
  if (Affinity == 0) KeCurrentThread()->Affinity = KeCurrentThread()->UserAffinity;
}

/// Undoes KeSetSystemAffinityThread.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/KeRevertToUserAffinityThread.
NT_EXPORT(KeRevertToUserAffinityThread, nt::AtMost(APC_LEVEL), Full, "KeThread.*");
VOID NTAPI KeRevertToUserAffinityThread() {
  KeRevertToUserAffinityThreadEx(0);
}

/// Lets another ready thread of the same or higher priority run. Returns STATUS_NO_YIELD_PERFORMED if there
/// is none. IRQL: <= APC_LEVEL. Differs from NT: none. Source: WDK ntifs/ZwYieldExecution.
NT_EXPORT(NtYieldExecution, nt::AtMost(APC_LEVEL), Full, "KeThread.*");
NTSTATUS NTAPI NtYieldExecution() {
  PKTHREAD thread = KeCurrentThread();
  KIRQL irql = KfRaiseIrql(DISPATCH_LEVEL);
  KiLockDispatcherAtDispatch();
  PKPRCB prcb = KeGetCurrentPrcb();
  prcb->QuantumEnd = TRUE;
  const ULONG switches = thread->ContextSwitches;
  KiRequestDispatchInterrupt(prcb);
  KiExitDispatcher(irql);
  return thread->ContextSwitches == switches ? STATUS_NO_YIELD_PERFORMED : STATUS_SUCCESS;
}

}  // extern "C"
