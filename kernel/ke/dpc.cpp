// Deferred procedure calls: a queue per processor, drained by the dispatch interrupt.
#include "ke_internal.h"
#include "nt/export.h"

namespace {

// KDPC.Number: below kTargetBase the DPC runs where it is queued.
constexpr USHORT kTargetBase = 0x800;

// Queued from any IRQL: held with interrupts off, a few instructions long.
class QueueGuard {
 public:
  explicit QueueGuard(KDPC_DATA* data) : data_(data), enabled_(arch::DisableInterruptsAndTell()) {
    while (__atomic_exchange_n(&data->DpcLock, 1, __ATOMIC_ACQUIRE) != 0) arch::Pause();
  }
  ~QueueGuard() {
    __atomic_store_n(&data_->DpcLock, 0, __ATOMIC_RELEASE);
    arch::RestoreInterrupts(enabled_);
  }

 private:
  KDPC_DATA* data_;
  bool enabled_;
};

PKDPC Pop(KDPC_DATA* data) {
  QueueGuard guard(data);
  if (IsListEmpty(&data->DpcListHead)) return nullptr;
  PKDPC dpc = CONTAINING_RECORD(RemoveHeadList(&data->DpcListHead), KDPC, DpcListEntry);
  data->DpcQueueDepth = data->DpcQueueDepth - 1;
  return dpc;
}

}  // namespace

extern "C" {

VOID KiRetireDpcList(PKPRCB prcb) {
  KDPC_DATA* data = &prcb->DpcData[0];
  while (PKDPC dpc = Pop(data)) {
    PKDEFERRED_ROUTINE routine = dpc->DeferredRoutine;
    PVOID context = dpc->DeferredContext;
    PVOID argument1 = dpc->SystemArgument1;
    PVOID argument2 = dpc->SystemArgument2;
    prcb->DpcRoutine = reinterpret_cast<PVOID>(routine);
    prcb->DpcRoutineActive = TRUE;
    __atomic_store_n(&dpc->DpcData, nullptr,
                     __ATOMIC_RELEASE);  // may be queued again, or freed by its routine
    ++data->DpcCount;
    routine(dpc, context, argument1, argument2);
    const KIRQL irql = KeGetCurrentIrql();
    if (irql != DISPATCH_LEVEL) {
      KeBugCheckEx(IRQL_UNEXPECTED_VALUE, (ULONG_PTR{irql} << 16) | (DISPATCH_LEVEL << 8), 0,
                   reinterpret_cast<ULONG_PTR>(routine), reinterpret_cast<ULONG_PTR>(dpc));
    }
    prcb->DpcRoutineActive = FALSE;
    prcb->DpcRoutine = nullptr;
  }
}

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

/// Prepares a threaded DPC.
/// IRQL: any.
/// Differs from NT: it runs at DISPATCH_LEVEL as an ordinary DPC, which NT also allows itself to do.
/// Source: WDK wdm/KeInitializeThreadedDpc.
NT_EXPORT(KeInitializeThreadedDpc, nt::AnyIrql(), Full, "KeDpc.*");
VOID NTAPI KeInitializeThreadedDpc(PRKDPC Dpc, PKDEFERRED_ROUTINE DeferredRoutine, PVOID DeferredContext) {
  KeInitializeDpc(Dpc, DeferredRoutine, DeferredContext);
}

/// Queues a DPC. Returns FALSE if it is queued already.
/// IRQL: any.
/// Differs from NT: low importance is treated as medium.
/// Source: WDK wdm/KeInsertQueueDpc.
NT_EXPORT(KeInsertQueueDpc, nt::AnyIrql(), Full, "KeDpc.*");
BOOLEAN NTAPI KeInsertQueueDpc(PRKDPC Dpc, PVOID SystemArgument1, PVOID SystemArgument2) {
  const bool enabled = arch::DisableInterruptsAndTell();
  PKPRCB prcb = KeGetCurrentPrcb();
  if (Dpc->Number >= kTargetBase && KiProcessorBlock[Dpc->Number - kTargetBase] != nullptr) {
    prcb = KiProcessorBlock[Dpc->Number - kTargetBase];
  }
  KDPC_DATA* data = &prcb->DpcData[0];
  bool inserted = false;
  {
    QueueGuard guard(data);
    PVOID expected = nullptr;
    if (__atomic_compare_exchange_n(const_cast<PVOID*>(&Dpc->DpcData), &expected, static_cast<PVOID>(data),
                                    false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
      Dpc->SystemArgument1 = SystemArgument1;
      Dpc->SystemArgument2 = SystemArgument2;
      data->DpcQueueDepth = data->DpcQueueDepth + 1;
      if (Dpc->Importance == HighImportance) {
        InsertHeadList(&data->DpcListHead, &Dpc->DpcListEntry);
      } else {
        InsertTailList(&data->DpcListHead, &Dpc->DpcListEntry);
      }
      inserted = true;
    }
  }
  if (inserted) KiRequestDispatchInterrupt(prcb);
  arch::RestoreInterrupts(enabled);
  return inserted;
}

/// Takes a DPC out of its queue. Returns FALSE if it was not queued (it may be running).
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeRemoveQueueDpc.
NT_EXPORT(KeRemoveQueueDpc, nt::AnyIrql(), Full, "KeDpc.*");
BOOLEAN NTAPI KeRemoveQueueDpc(PRKDPC Dpc) {
  for (;;) {
    auto* data = static_cast<KDPC_DATA*>(__atomic_load_n(&Dpc->DpcData, __ATOMIC_ACQUIRE));
    if (data == nullptr) return FALSE;
    QueueGuard guard(data);
    if (Dpc->DpcData != data) continue;  // it ran, or moved, before the lock was ours
    bool queued = false;
    for (LIST_ENTRY* link = data->DpcListHead.Flink; link != &data->DpcListHead; link = link->Flink) {
      queued = queued || link == &Dpc->DpcListEntry;
    }
    if (!queued) return FALSE;  // popped, about to run
    RemoveEntryList(&Dpc->DpcListEntry);
    data->DpcQueueDepth = data->DpcQueueDepth - 1;
    Dpc->DpcData = nullptr;
    return TRUE;
  }
}

/// Chooses the processor on which a DPC runs.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeSetTargetProcessorDpc.
NT_EXPORT(KeSetTargetProcessorDpc, nt::AnyIrql(), Full, "KeDpc.*");
VOID NTAPI KeSetTargetProcessorDpc(PRKDPC Dpc, CCHAR Number) {
  if (Number >= 0 && static_cast<ULONG>(Number) < kMaximumProcessors) {
    Dpc->Number = static_cast<USHORT>(kTargetBase + Number);
  }
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
  Dpc->Number = static_cast<USHORT>(kTargetBase + ProcNumber->Number);
  return STATUS_SUCCESS;
}

/// Sets the importance of a DPC: high goes to the head of the queue.
/// IRQL: any.
/// Differs from NT: low importance is treated as medium.
/// Source: WDK wdm/KeSetImportanceDpc.
NT_EXPORT(KeSetImportanceDpc, nt::AnyIrql(), Full, "KeDpc.*");
VOID NTAPI KeSetImportanceDpc(PRKDPC Dpc, KDPC_IMPORTANCE Importance) {
  Dpc->Importance = static_cast<UCHAR>(Importance);
}

/// Returns when every DPC that was queued before has run, on all processors.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeFlushQueuedDpcs.
NT_EXPORT(KeFlushQueuedDpcs, nt::Exactly(PASSIVE_LEVEL), Full, "KeDpc.*");
VOID NTAPI KeFlushQueuedDpcs() {
  struct Flush {
    KDPC dpc;
    KEVENT done;
  };
  for (ULONG i = 0; i < static_cast<ULONG>(KeNumberProcessors); ++i) {
    Flush flush;
    KeInitializeEvent(&flush.done, NotificationEvent, FALSE);
    KeInitializeDpc(
        &flush.dpc,
        [](PKDPC, PVOID context, PVOID, PVOID) { KeSetEvent(static_cast<PKEVENT>(context), 0, FALSE); },
        &flush.done);
    KeSetTargetProcessorDpc(&flush.dpc, static_cast<CCHAR>(i));
    KeInsertQueueDpc(&flush.dpc, nullptr, nullptr);
    KeWaitForSingleObject(&flush.done, Executive, KernelMode, FALSE, nullptr);
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

}  // extern "C"
