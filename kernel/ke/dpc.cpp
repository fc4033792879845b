// Deferred procedure calls. Each processor has two queues: of ordinary DPCs, drained by the dispatch
// interrupt, and of threaded ones, drained by a thread of the highest priority at PASSIVE_LEVEL.
#include "ke_internal.h"

namespace {

constexpr USHORT kTargetBase = 0x800;  // KDPC.Number: below it the DPC runs where it is queued
constexpr UCHAR kOfTimer = 0x80;       // KDPC.Importance while it is queued: a timer did it
constexpr ULONG kDefaultQueueDepth = 4, kDefaultMinimumRate = 3;
constexpr ULONG_PTR kWrongProcessor = 3, kApcCountChanged = 4, kApcCountChangedByTimerDpc = 5;

volatile bool threaded_dpcs_off;  // they are ordinary ones

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

// What is left of a DPC once it is out of its queue: it may be queued again, or freed, from then on.
struct Call {
  PKDPC dpc;
  PKDEFERRED_ROUTINE routine;
  PVOID context, argument1, argument2;
  bool of_timer;

  void Run() const { routine(dpc, context, argument1, argument2); }
};

bool Pop(KDPC_DATA* data, Call* call) {
  QueueGuard guard(data);
  if (IsListEmpty(&data->DpcListHead)) return false;
  PKDPC dpc = CONTAINING_RECORD(RemoveHeadList(&data->DpcListHead), KDPC, DpcListEntry);
  data->DpcQueueDepth = data->DpcQueueDepth - 1;
  ++data->DpcCount;
  *call = {dpc,
           dpc->DeferredRoutine,
           dpc->DeferredContext,
           dpc->SystemArgument1,
           dpc->SystemArgument2,
           (dpc->Importance & kOfTimer) != 0};
  dpc->Importance &= static_cast<UCHAR>(~kOfTimer);
  data->ActiveDpc = dpc;
  __atomic_store_n(&dpc->DpcData, nullptr, __ATOMIC_RELEASE);
  return true;
}

void Finished(KDPC_DATA* data) {
  __atomic_store_n(&data->ActiveDpc, nullptr, __ATOMIC_RELEASE);
}

[[noreturn]] void WrongIrql(const Call& call, KIRQL irql, KIRQL expected) {
  KeBugCheckEx(IRQL_UNEXPECTED_VALUE, (ULONG_PTR{irql} << 16) | (ULONG_PTR{expected} << 8), 0,
               reinterpret_cast<ULONG_PTR>(call.routine), reinterpret_cast<ULONG_PTR>(call.dpc));
}

void CheckApcCount(const Call& call, ULONG before, ULONG after) {
  if (before == after) return;
  KeBugCheckEx(kTimerOrDpcInvalid, call.of_timer ? kApcCountChangedByTimerDpc : kApcCountChanged,
               reinterpret_cast<ULONG_PTR>(call.routine), before, after);
}

// The processor for a DPC that is queued here and now.
PKPRCB TargetOf(PKDPC dpc) {
  if (dpc->Number < kTargetBase) return KeGetCurrentPrcb();
  const ULONG number = dpc->Number - kTargetBase;
  const ULONG count = static_cast<ULONG>(KeNumberProcessors);
  if (number >= count || KiProcessorBlock[number] == nullptr) {
    KeBugCheckEx(kTimerOrDpcInvalid, kWrongProcessor, reinterpret_cast<ULONG_PTR>(dpc), number, count);
  }
  return KiProcessorBlock[number];
}

// Whether an ordinary DPC of this importance asks for its processor at once; else the next tick does, or
// whatever drains the queue before it. An idle processor may have no next tick.
bool IsUrgent(PKPRCB target, UCHAR importance) {
  const KDPC_DATA* data = &target->DpcData[0];
  if (data->DpcQueueDepth >= static_cast<LONG>(target->MaximumDpcQueueDepth)) return true;
  if (target == KeGetCurrentPrcb()) {
    return importance != LowImportance || target->DpcRequestRate < target->MinimumDpcRate;
  }
  return importance == HighImportance || importance == MediumHighImportance;
}

void Request(PKPRCB target, PKDPC dpc, bool threaded, UCHAR importance) {
  if (threaded) {
    target->DpcSetEventRequest = TRUE;
    KiRequestDispatchInterrupt(target);
    return;
  }
  // Pairs with the idle loop, which says that it halts and then looks at the queue.
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  if (IsUrgent(target, importance) || target->IdleHalt) KiRequestDispatchInterrupt(target);
}

bool Insert(PKDPC dpc, PVOID argument1, PVOID argument2, bool of_timer, DISPATCHER_HEADER* unlock) {
  const bool enabled = arch::DisableInterruptsAndTell();  // the current processor stays the current one
  PKPRCB target = TargetOf(dpc);
  const bool threaded = dpc->Type == kThreadedDpcObject && target->ThreadDpcEnable;
  KDPC_DATA* data = &target->DpcData[threaded ? 1 : 0];
  const UCHAR importance = dpc->Importance & static_cast<UCHAR>(~kOfTimer);
  bool inserted = false;
  {
    QueueGuard guard(data);
    PVOID expected = nullptr;
    inserted =
        __atomic_compare_exchange_n(const_cast<PVOID*>(&dpc->DpcData), &expected, static_cast<PVOID>(data),
                                    false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    if (inserted) {
      dpc->SystemArgument1 = argument1;
      dpc->SystemArgument2 = argument2;
      if (of_timer) dpc->Importance |= kOfTimer;
      data->DpcQueueDepth = data->DpcQueueDepth + 1;
      if (importance == HighImportance) {
        InsertHeadList(&data->DpcListHead, &dpc->DpcListEntry);
      } else {
        InsertTailList(&data->DpcListHead, &dpc->DpcListEntry);
      }
    }
    if (unlock != nullptr) KiReleaseObjectLock(unlock);
  }
  if (inserted) Request(target, dpc, threaded, importance);
  arch::RestoreInterrupts(enabled);
  return inserted;
}

void RunThreadedDpc(PKPRCB prcb, const Call& call) {
  PKTHREAD thread = prcb->DpcThread;
  const ULONG apc_count = thread->CombinedApcDisable;
  call.Run();
  const KIRQL irql = KeGetCurrentIrql();
  if (irql != PASSIVE_LEVEL) WrongIrql(call, irql, PASSIVE_LEVEL);
  CheckApcCount(call, apc_count, thread->CombinedApcDisable);
}

}  // namespace

extern "C" {

VOID KiInitializeDpcData(PKPRCB prcb) {
  for (KDPC_DATA& data : prcb->DpcData) InitializeListHead(&data.DpcListHead);
  KeInitializeEvent(&prcb->DpcEvent, SynchronizationEvent, FALSE);
  prcb->MaximumDpcQueueDepth = kDefaultQueueDepth;
  prcb->MinimumDpcRate = kDefaultMinimumRate;
}

BOOLEAN KiInsertQueueDpc(PKDPC dpc, PVOID argument1, PVOID argument2) {
  return Insert(dpc, argument1, argument2, false, nullptr);
}

VOID KiInsertTimerDpc(PKDPC dpc, DISPATCHER_HEADER* unlock) {
  Insert(dpc, nullptr, nullptr, true, unlock);
}

// A routine that is taken out of its queue finishes before the next of the same queue starts: that is what
// KeFlushQueuedDpcs relies upon.
static KI_NOINLINE VOID KiExecuteAllDpcs(PKPRCB prcb) {
  KDPC_DATA* data = &prcb->DpcData[0];
  Call call;
  if (data->DpcQueueDepth != 0) KiEnsureTick(prcb);  // the watchdogs need it, also where only DPCs run
  while (Pop(data, &call)) {
    PKTHREAD thread = prcb->CurrentThread;
    const ULONG apc_count = thread->CombinedApcDisable;
    prcb->DpcRoutine = reinterpret_cast<PVOID>(call.routine);
    prcb->DpcTimeCount = 0;
    prcb->DpcRoutineActive = TRUE;
    call.Run();
    const KIRQL irql = KeGetCurrentIrql();
    if (irql != DISPATCH_LEVEL) WrongIrql(call, irql, DISPATCH_LEVEL);
    CheckApcCount(call, apc_count, thread->CombinedApcDisable);
    prcb->DpcRoutineActive = FALSE;
    prcb->DpcRoutine = nullptr;
    Finished(data);
  }
}

VOID KiRetireDpcList(PKPRCB prcb) {
  KiExecuteAllDpcs(prcb);
  if (__atomic_exchange_n(&prcb->DpcSetEventRequest, UCHAR{0}, __ATOMIC_ACQ_REL) != 0) {
    KeSetEvent(&prcb->DpcEvent, 0, FALSE);
  }
}

VOID KiUpdateDpcRate(PKPRCB prcb) {
  const ULONG count = prcb->DpcData[0].DpcCount;
  prcb->DpcRequestRate = (count - prcb->DpcLastCount + prcb->DpcRequestRate) >> 1;
  prcb->DpcLastCount = count;
  if (prcb->DpcData[0].DpcQueueDepth != 0 && !prcb->DpcRoutineActive) KiRequestDispatchInterrupt(prcb);
}

VOID KeSetThreadDpcEnable(BOOLEAN enable) {
  __atomic_store_n(&threaded_dpcs_off, !enable, __ATOMIC_SEQ_CST);
  for (ULONG i = 0; i < static_cast<ULONG>(KeNumberProcessors); ++i) {
    KiProcessorBlock[i]->ThreadDpcEnable = enable;
  }
}

VOID NTAPI KiExecuteDpc(PVOID context) {
  PKPRCB prcb = KiProcessorBlock[reinterpret_cast<ULONG_PTR>(context)];
  KeSetSystemAffinityThreadEx(prcb->SetMember);
  KeSetPriorityThread(KeCurrentThread(), HIGH_PRIORITY);
  prcb->DpcThread = KeCurrentThread();
  __atomic_store_n(&prcb->ThreadDpcEnable, UCHAR{1}, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&threaded_dpcs_off, __ATOMIC_SEQ_CST)) prcb->ThreadDpcEnable = FALSE;
  for (;;) {
    KeWaitForSingleObject(&prcb->DpcEvent, Executive, KernelMode, FALSE, nullptr);
    prcb->DpcThreadActive = TRUE;
    Call call;
    while (Pop(&prcb->DpcData[1], &call)) {
      RunThreadedDpc(prcb, call);
      Finished(&prcb->DpcData[1]);
    }
    prcb->DpcThreadActive = FALSE;
  }
}

BOOLEAN KiRemoveQueueDpc(PKDPC dpc) {
  for (;;) {
    auto* data = static_cast<KDPC_DATA*>(__atomic_load_n(&dpc->DpcData, __ATOMIC_ACQUIRE));
    if (data == nullptr) return FALSE;
    QueueGuard guard(data);
    if (dpc->DpcData != data) continue;  // it ran, or moved, before the lock was ours
    RemoveEntryList(&dpc->DpcListEntry);
    data->DpcQueueDepth = data->DpcQueueDepth - 1;
    dpc->Importance &= static_cast<UCHAR>(~kOfTimer);
    dpc->DpcData = nullptr;
    return TRUE;
  }
}

BOOLEAN KiDpcQueueBusy(KDPC_DATA* data) {
  QueueGuard guard(data);
  return data->DpcQueueDepth != 0 || data->ActiveDpc != nullptr;
}

PKDPC KiFindDpcInRange(KDPC_DATA* data, ULONG_PTR start, ULONG_PTR end, BOOLEAN routine) {
  QueueGuard guard(data);
  for (LIST_ENTRY* link = data->DpcListHead.Flink; link != &data->DpcListHead; link = link->Flink) {
    PKDPC dpc = CONTAINING_RECORD(link, KDPC, DpcListEntry);
    const auto first =
        reinterpret_cast<ULONG_PTR>(routine ? reinterpret_cast<PVOID>(dpc->DeferredRoutine) : dpc);
    if (first < end && first + (routine ? 1 : sizeof(KDPC)) > start) return dpc;
  }
  return nullptr;
}

VOID KiSetDpcTarget(PKDPC dpc, ULONG number) {
  dpc->Number = static_cast<USHORT>(kTargetBase + number);
}

}  // extern "C"
