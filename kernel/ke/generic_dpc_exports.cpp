// A DPC on every processor at once, with a barrier.
#include "ke_internal.h"
#include "nt/export.h"

namespace {

struct GenericCall {
  volatile LONG left;     // processors that have not called KeSignalCallDpcDone
  volatile LONG arrived;  // at the barrier
  volatile LONG round;    // counts the barrier's uses
  LONG expected;
};
// One call at a time: the mutex guards these. The event outlives the call, since the last processor may
// still be in KeSetEvent when the caller goes on.
KDPC generic_dpcs[kMaximumProcessors];
KMUTEX generic_lock;
KEVENT generic_done;
volatile LONG generic_ready;

GenericCall* CallOf(PVOID argument) {
  return static_cast<GenericCall*>(argument);
}

}  // namespace

extern "C" {

/// Runs a routine as a DPC on every processor and returns when all have called KeSignalCallDpcDone.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented by Microsoft; signature as drivers declare it.
NT_EXPORT(KeGenericCallDpc, nt::AtMost(APC_LEVEL), Full, "KeGenericDpc.*");
VOID NTAPI KeGenericCallDpc(PKDEFERRED_ROUTINE Routine, PVOID Context) {
  if (InterlockedCompareExchange(&generic_ready, 1, 0) == 0) {
    KeInitializeMutex(&generic_lock, 0);
    KeInitializeEvent(&generic_done, SynchronizationEvent, FALSE);
    generic_ready = 2;
  }
  while (generic_ready != 2) arch::Pause();
  KeWaitForSingleObject(&generic_lock, Executive, KernelMode, FALSE, nullptr);
  const LONG count = KeNumberProcessors;
  GenericCall call = {count, 0, 0, count};
  // At DISPATCH_LEVEL: this processor's own DPC must not run, and wait for the others, before theirs are
  // queued.
  const KIRQL old_irql = KfRaiseIrql(DISPATCH_LEVEL);
  for (LONG i = 0; i < count; ++i) {
    KeInitializeDpc(&generic_dpcs[i], Routine, Context);
    KeSetTargetProcessorDpc(&generic_dpcs[i], static_cast<CCHAR>(i));
    KeSetImportanceDpc(&generic_dpcs[i], HighImportance);
    KeInsertQueueDpc(&generic_dpcs[i], &call, &call);
  }
  KeLowerIrql(old_irql);
  KeWaitForSingleObject(&generic_done, Executive, KernelMode, FALSE, nullptr);
  KeReleaseMutex(&generic_lock, FALSE);
}

/// From a routine of KeGenericCallDpc: this processor has finished. The argument is the routine's
/// SystemArgument1.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: not documented by Microsoft; signature as drivers declare it.
NT_EXPORT(KeSignalCallDpcDone, nt::Exactly(DISPATCH_LEVEL), Full, "KeGenericDpc.*");
VOID NTAPI KeSignalCallDpcDone(PVOID SystemArgument1) {
  if (__atomic_sub_fetch(&CallOf(SystemArgument1)->left, 1, __ATOMIC_ACQ_REL) == 0) {
    KeSetEvent(&generic_done, 0, FALSE);
  }
}

/// From a routine of KeGenericCallDpc: waits until every processor is here. The argument is SystemArgument2.
/// TRUE on one of them.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: not documented by Microsoft; signature as drivers declare it.
NT_EXPORT(KeSignalCallDpcSynchronize, nt::Exactly(DISPATCH_LEVEL), Full, "KeGenericDpc.*");
LOGICAL NTAPI KeSignalCallDpcSynchronize(PVOID SystemArgument2) {
  GenericCall* call = CallOf(SystemArgument2);
  const LONG round = call->round;
  if (__atomic_add_fetch(&call->arrived, 1, __ATOMIC_ACQ_REL) == call->expected) {
    call->arrived = 0;
    __atomic_store_n(&call->round, round + 1, __ATOMIC_RELEASE);
    return TRUE;
  }
  while (__atomic_load_n(&call->round, __ATOMIC_ACQUIRE) == round) arch::Pause();
  return FALSE;
}

}  // extern "C"
