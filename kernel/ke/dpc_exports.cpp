// DPCs as drivers see them.
#include "ke_internal.h"
#include "nt/export.h"

namespace {

struct Flush {
  KDPC dpc;
  KEVENT done;
};

VOID NTAPI FlushRoutine(PKDPC, PVOID context, PVOID, PVOID) {
  KeSetEvent(static_cast<PKEVENT>(context), 0, FALSE);
}

// Waits until what this queue of the processor holds, and runs, is done.
void FlushQueue(PKPRCB prcb, bool threaded) {
  if (!KiDpcQueueBusy(&prcb->DpcData[threaded ? 1 : 0])) return;
  Flush flush;
  KeInitializeEvent(&flush.done, NotificationEvent, FALSE);
  if (threaded) {
    KeInitializeThreadedDpc(&flush.dpc, FlushRoutine, &flush.done);
  } else {
    KeInitializeDpc(&flush.dpc, FlushRoutine, &flush.done);
  }
  KeSetImportanceDpc(&flush.dpc, MediumHighImportance);
  KiSetDpcTarget(&flush.dpc, prcb->Number);
  KeInsertQueueDpc(&flush.dpc, nullptr, nullptr);
  KeWaitForSingleObject(&flush.done, Executive, KernelMode, FALSE, nullptr);
}

bool RunsSomewhere(PKDPC dpc) {
  const KIRQL irql = KeGetCurrentIrql();
  for (ULONG i = 0; i < static_cast<ULONG>(KeNumberProcessors); ++i) {
    PKPRCB prcb = KiProcessorBlock[i];
    if (irql >= DISPATCH_LEVEL && prcb == KeGetCurrentPrcb()) continue;  // it would wait for itself
    for (KDPC_DATA& data : prcb->DpcData) {
      if (__atomic_load_n(&data.ActiveDpc, __ATOMIC_ACQUIRE) == dpc) return true;
    }
  }
  return false;
}

}  // namespace

extern "C" {

/// Prepares a DPC.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeInitializeDpc.
NT_EXPORT(KeInitializeDpc, nt::AnyIrql(), Full, "KeDpc.*");
VOID NTAPI KeInitializeDpc(PRKDPC Dpc, PKDEFERRED_ROUTINE DeferredRoutine, PVOID DeferredContext) {
  Dpc->Type = kDpcObject;
  Dpc->Importance = MediumImportance;
  Dpc->Number = 0;
  Dpc->DeferredRoutine = DeferredRoutine;
  Dpc->DeferredContext = DeferredContext;
  Dpc->DpcData = nullptr;
}

/// Prepares a threaded DPC: its routine runs at PASSIVE_LEVEL in a thread of the highest priority, bound to
/// the DPC's processor; at DISPATCH_LEVEL as an ordinary DPC where ThreadDpcEnable (Session Manager\Kernel in
/// the registry, at boot) is 0.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeInitializeThreadedDpc.
NT_EXPORT(KeInitializeThreadedDpc, nt::AnyIrql(), Full, "KeThreadedDpc.*");
VOID NTAPI KeInitializeThreadedDpc(PRKDPC Dpc, PKDEFERRED_ROUTINE DeferredRoutine, PVOID DeferredContext) {
  KeInitializeDpc(Dpc, DeferredRoutine, DeferredContext);
  Dpc->Type = kThreadedDpcObject;
}

/// Queues a DPC on its target processor, or on this one. Returns FALSE if it is queued already. Whether the
/// processor drains its queue at once, or at its next clock tick, depends on the importance: here at once
/// unless LowImportance; elsewhere at once with MediumHighImportance and HighImportance; always at once when
/// four wait, or an idle processor is meant. A target processor that does not exist is bug check 0xC7.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeInsertQueueDpc; Windows drivers' guide, "Organization of DPC Queues".
NT_EXPORT(KeInsertQueueDpc, nt::AnyIrql(), Full, "KeDpc.* KeThreadedDpc.*");
BOOLEAN NTAPI KeInsertQueueDpc(PRKDPC Dpc, PVOID SystemArgument1, PVOID SystemArgument2) {
  return KiInsertQueueDpc(Dpc, SystemArgument1, SystemArgument2);
}

/// Takes a DPC out of its queue. Returns FALSE if it was not queued (it may be running).
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeRemoveQueueDpc.
NT_EXPORT(KeRemoveQueueDpc, nt::AnyIrql(), Full, "KeDpc.*");
BOOLEAN NTAPI KeRemoveQueueDpc(PRKDPC Dpc) {
  return KiRemoveQueueDpc(Dpc);
}

/// As KeRemoveQueueDpc; with WaitIfActive it also returns only when the routine runs nowhere any more, but
/// for the DPC that calls it.
/// IRQL: any; with WaitIfActive <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: not documented by Microsoft; signature as drivers declare it.
NT_EXPORT(KeRemoveQueueDpcEx, nt::AnyIrql(), Full, "KeDpc.*");
BOOLEAN NTAPI KeRemoveQueueDpcEx(PRKDPC Dpc, BOOLEAN WaitIfActive) {
  const BOOLEAN removed = KiRemoveQueueDpc(Dpc);
  if (!WaitIfActive) return removed;
  LARGE_INTEGER moment;
  moment.QuadPart = -1'000;
  while (RunsSomewhere(Dpc)) {
    if (KeGetCurrentIrql() < DISPATCH_LEVEL) {
      KeDelayExecutionThread(KernelMode, FALSE, &moment);
    } else {
      arch::Pause();
    }
  }
  return removed;
}

/// Chooses the processor on which a DPC runs.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeSetTargetProcessorDpc.
NT_EXPORT(KeSetTargetProcessorDpc, nt::AnyIrql(), Full, "KeDpc.*");
VOID NTAPI KeSetTargetProcessorDpc(PRKDPC Dpc, CCHAR Number) {
  KiSetDpcTarget(Dpc, static_cast<UCHAR>(Number));
}

/// As KeSetTargetProcessorDpc, by group and number: there is group 0 only.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeSetTargetProcessorDpcEx.
NT_EXPORT(KeSetTargetProcessorDpcEx, nt::AnyIrql(), Full, "KeDpc.*");
NTSTATUS NTAPI KeSetTargetProcessorDpcEx(PKDPC Dpc, PPROCESSOR_NUMBER ProcNumber) {
  if (ProcNumber->Group != 0 || ProcNumber->Reserved != 0 ||
      ProcNumber->Number >= static_cast<ULONG>(KeNumberProcessors)) {
    return STATUS_INVALID_PARAMETER;
  }
  KiSetDpcTarget(Dpc, ProcNumber->Number);
  return STATUS_SUCCESS;
}

/// Sets the importance of a DPC: high goes to the head of the queue, the others to its end; KeInsertQueueDpc
/// tells when each is looked at.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeSetImportanceDpc.
NT_EXPORT(KeSetImportanceDpc, nt::AnyIrql(), Full, "KeDpc.*");
VOID NTAPI KeSetImportanceDpc(PRKDPC Dpc, KDPC_IMPORTANCE Importance) {
  Dpc->Importance = static_cast<UCHAR>(Importance);
}

/// Returns when every DPC that was queued before, ordinary or threaded, has run, on all processors.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeFlushQueuedDpcs.
NT_EXPORT(KeFlushQueuedDpcs, nt::Exactly(PASSIVE_LEVEL), Full, "KeDpc.*");
VOID NTAPI KeFlushQueuedDpcs() {
  for (ULONG i = 0; i < static_cast<ULONG>(KeNumberProcessors); ++i) {
    FlushQueue(KiProcessorBlock[i], false);
    if (KiProcessorBlock[i]->ThreadDpcEnable) FlushQueue(KiProcessorBlock[i], true);
  }
}

/// TRUE while this processor runs a DPC.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/KeIsExecutingDpc.
NT_EXPORT(KeIsExecutingDpc, nt::Exactly(DISPATCH_LEVEL), Full, "KeDpc.*");
LOGICAL NTAPI KeIsExecutingDpc() {
  return KeGetCurrentPrcb()->DpcRoutineActive != 0;
}

/// Tells a DPC how many clock ticks it, and the time at DISPATCH_LEVEL that it is part of, may still take.
/// STATUS_UNSUCCESSFUL outside of a DPC. A limit of 0: that watchdog is off.
/// IRQL: DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeQueryDpcWatchdogInformation.
NT_EXPORT(KeQueryDpcWatchdogInformation, nt::Exactly(DISPATCH_LEVEL), Full, "KeDpcWatchdog.*");
NTSTATUS NTAPI KeQueryDpcWatchdogInformation(PKDPC_WATCHDOG_INFORMATION WatchdogInformation) {
  const KPRCB* prcb = KeGetCurrentPrcb();
  if (!prcb->DpcRoutineActive) return STATUS_UNSUCCESSFUL;
  const auto left = [](ULONG limit, ULONG used) { return limit > used ? limit - used : 0; };
  *WatchdogInformation = {prcb->DpcTimeLimit, left(prcb->DpcTimeLimit, prcb->DpcTimeCount),
                          prcb->DpcWatchdogPeriod, left(prcb->DpcWatchdogPeriod, prcb->DpcWatchdogCount), 0};
  return STATUS_SUCCESS;
}

}  // extern "C"
