// Running in another process's address space.
#include "ke_internal.h"
#include "nt/export.h"

namespace {

// ApcStateIndex: 0 = in its own process.
void MoveState(KAPC_STATE* to, KAPC_STATE* from) {
  *to = *from;
  for (int mode = 0; mode < MaximumMode; ++mode) {
    if (IsListEmpty(&from->ApcListHead[mode])) {
      InitializeListHead(&to->ApcListHead[mode]);
    } else {
      to->ApcListHead[mode].Flink->Blink = &to->ApcListHead[mode];
      to->ApcListHead[mode].Blink->Flink = &to->ApcListHead[mode];
    }
  }
}

void Enter(PKTHREAD thread, PKPROCESS process) {
  KAPC_STATE* state = &thread->ApcState;
  for (LIST_ENTRY& head : state->ApcListHead) InitializeListHead(&head);
  const bool other_table = state->Process->DirectoryTableBase != process->DirectoryTableBase;
  state->Process = process;
  state->KernelApcInProgress = state->KernelApcPending = state->UserApcPending = FALSE;
  if (other_table) arch::WriteCr3(process->DirectoryTableBase);
}

void Return(PKTHREAD thread, KAPC_STATE* saved) {
  const bool other_table = thread->ApcState.Process->DirectoryTableBase != saved->Process->DirectoryTableBase;
  MoveState(&thread->ApcState, saved);
  if (other_table) arch::WriteCr3(thread->ApcState.Process->DirectoryTableBase);
}

// What came for the thread while it was attached runs before it goes back, as a wait would let it.
void DeliverPending(PKTHREAD thread) {
  if (thread->ApcState.KernelApcPending) KiCheckForKernelApcDelivery();
}

}  // namespace

extern "C" {

/// Attaches the thread to a process: its address space is current until KeUnstackDetachProcess. Nests.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/KeStackAttachProcess.
NT_EXPORT(KeStackAttachProcess, nt::AtMost(APC_LEVEL), Full, "KeAttach.*");
VOID NTAPI KeStackAttachProcess(PKPROCESS Process, PKAPC_STATE ApcState) {
  PKTHREAD thread = KeCurrentThread();
  if (KeGetCurrentPrcb()->DpcRoutineActive) {
    KeBugCheckEx(INVALID_PROCESS_ATTACH_ATTEMPT, reinterpret_cast<ULONG_PTR>(Process),
                 reinterpret_cast<ULONG_PTR>(thread->ApcState.Process), thread->ApcStateIndex, 1);
  }
  ThreadGuard guard(thread);
  if (thread->ApcState.Process == Process) {
    ApcState->Process = reinterpret_cast<PKPROCESS>(1);  // nothing to undo
    return;
  }
  if (thread->ApcStateIndex != 0) {
    MoveState(ApcState, &thread->ApcState);
  } else {
    MoveState(&thread->SavedApcState, &thread->ApcState);
    ApcState->Process = nullptr;  // what to undo is in the thread
    thread->ApcStateIndex = 1;
  }
  Enter(thread, Process);
}

/// Undoes KeStackAttachProcess.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/KeUnstackDetachProcess.
NT_EXPORT(KeUnstackDetachProcess, nt::AtMost(APC_LEVEL), Full, "KeAttach.*");
VOID NTAPI KeUnstackDetachProcess(PKAPC_STATE ApcState) {
  if (ApcState->Process == reinterpret_cast<PKPROCESS>(1)) return;
  PKTHREAD thread = KeCurrentThread();
  DeliverPending(thread);
  ThreadGuard guard(thread);
  if (thread->ApcStateIndex == 0) {
    KeBugCheckEx(INVALID_PROCESS_DETACH_ATTEMPT, 0, 0, 0, 0);
  }
  if (ApcState->Process != nullptr) {
    Return(thread, ApcState);
  } else {
    Return(thread, &thread->SavedApcState);
    thread->ApcStateIndex = 0;
  }
}

/// Attaches the thread to a process, once.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/KeAttachProcess.
NT_EXPORT(KeAttachProcess, nt::AtMost(DISPATCH_LEVEL), Full, "KeAttach.*");
VOID NTAPI KeAttachProcess(PKPROCESS Process) {
  PKTHREAD thread = KeCurrentThread();
  ThreadGuard guard(thread);
  if (thread->ApcState.Process == Process) return;
  if (thread->ApcStateIndex != 0) {
    KeBugCheckEx(INVALID_PROCESS_ATTACH_ATTEMPT, reinterpret_cast<ULONG_PTR>(Process),
                 reinterpret_cast<ULONG_PTR>(thread->ApcState.Process), thread->ApcStateIndex, 0);
  }
  MoveState(&thread->SavedApcState, &thread->ApcState);
  thread->ApcStateIndex = 1;
  Enter(thread, Process);
}

/// Undoes KeAttachProcess.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/KeDetachProcess.
NT_EXPORT(KeDetachProcess, nt::AtMost(DISPATCH_LEVEL), Full, "KeAttach.*");
VOID NTAPI KeDetachProcess() {
  PKTHREAD thread = KeCurrentThread();
  DeliverPending(thread);
  ThreadGuard guard(thread);
  if (thread->ApcStateIndex == 0) return;
  Return(thread, &thread->SavedApcState);
  thread->ApcStateIndex = 0;
}

}  // extern "C"
