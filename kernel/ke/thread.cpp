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
  thread->ApcQueueable = TRUE;
  thread->EnableStackSwap = TRUE;
  DispatchGuard guard;
  KiAcquireRawLock(&process->ProcessLock);
  InsertTailList(&process->ThreadListHead, &thread->ThreadListEntry);
  KiReleaseRawLock(&process->ProcessLock);
}

VOID KeUninitThread(PKTHREAD thread) {
  DispatchGuard guard;
  KiAcquireRawLock(&thread->Process->ProcessLock);
  RemoveEntryList(&thread->ThreadListEntry);
  KiReleaseRawLock(&thread->Process->ProcessLock);
}

VOID KeStartThread(PKTHREAD thread) {
  static volatile ULONG next_ideal;
  DispatchGuard guard;
  thread->IdealProcessor = thread->NextProcessor =
      __atomic_fetch_add(&next_ideal, 1, __ATOMIC_RELAXED) % static_cast<ULONG>(KeNumberProcessors);
  thread->WaitTime = KiTickCount();
  KiDeferReady(thread);
}

[[noreturn]] VOID KeTerminateThread(KPRIORITY increment) {
  PKTHREAD thread = KeCurrentThread();
  KiRundownApcs(thread);
  KeUninitThread(thread);
  KfRaiseIrql(DISPATCH_LEVEL);
  KiAbandonMutants(thread);
  KiLeaveQueue(thread);
  KiAcquireObjectLock(&thread->Header);
  thread->Header.SignalState = 1;
  KiSignalObject(&thread->Header, increment);
  KiReleaseObjectLock(&thread->Header);
  PKTHREAD next = KiSelectThread(KeGetCurrentPrcb(), 0, true);
  KiAcquireThreadLock(thread);
  thread->State = Terminated;
  KiReleaseThreadLock(thread);
  KiSwapThread(thread, next);
  KiAssertFailed("a terminated thread came back", "thread.cpp", __LINE__);
}

VOID KeSignalProcess(PKPROCESS process) {
  const KIRQL irql = KfRaiseIrql(DISPATCH_LEVEL);
  KiAcquireObjectLock(&process->Header);
  process->Header.SignalState = 1;
  KiSignalObject(&process->Header, 0);
  KiReleaseObjectLock(&process->Header);
  KeLowerIrql(irql);
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

/// The running thread.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeGetCurrentThread.
NT_EXPORT(KeGetCurrentThread, nt::AnyIrql(), Full, "KeThread.*");
PKTHREAD NTAPI KeGetCurrentThread() {
  return KeCurrentThread();
}

}  // extern "C"
