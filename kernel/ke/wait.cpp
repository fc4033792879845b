// Waiting and waking. Everything here runs at DISPATCH_LEVEL with the dispatcher lock held unless it says
// otherwise.
#include "ke_internal.h"
#include "nt/export.h"

namespace {

// Thread's own blocks: three objects and, last, its timer.
constexpr ULONG kTimerBlock = 3;

KWAIT_BLOCK* BlockOf(LIST_ENTRY* link) {
  return CONTAINING_RECORD(link, KWAIT_BLOCK, WaitListEntry);
}

bool IsSignalled(DISPATCHER_HEADER* object, PKTHREAD thread) {
  if (object->Type == kMutant) {
    auto* mutant = reinterpret_cast<PKMUTANT>(object);
    return object->SignalState > 0 ||
           (mutant->OwnerThread == thread && object->SignalState > static_cast<LONG>(MINLONG));
  }
  return object->SignalState > 0;
}

// What a satisfied wait does to the object. Returns TRUE if the object was an abandoned mutant.
bool Satisfy(DISPATCHER_HEADER* object, PKTHREAD thread) {
  switch (object->Type) {
    case kEventSynchronization:
    case kTimerSynchronization:
      object->SignalState = 0;
      return false;
    case kSemaphore:
      --object->SignalState;
      return false;
    case kMutant: {
      auto* mutant = reinterpret_cast<PKMUTANT>(object);
      if (--object->SignalState == 0) {
        mutant->OwnerThread = thread;
        thread->KernelApcDisable = static_cast<SHORT>(thread->KernelApcDisable - mutant->ApcDisable);
        InsertTailList(&thread->MutantListHead, &mutant->MutantListEntry);
        const bool abandoned = mutant->Abandoned != FALSE;
        mutant->Abandoned = FALSE;
        return abandoned;
      }
      return false;
    }
    default:
      return false;
  }
}

// The blocks of a multiple wait are consecutive; the timer's is not among them.
bool AllSignalled(PKTHREAD thread) {
  for (ULONG i = 0; i < thread->WaitBlockCount; ++i) {
    if (!IsSignalled(static_cast<DISPATCHER_HEADER*>(thread->WaitBlockList[i].Object), thread)) return false;
  }
  return true;
}

LONG_PTR SatisfyAll(PKTHREAD thread) {
  LONG_PTR status = STATUS_WAIT_0;
  for (ULONG i = 0; i < thread->WaitBlockCount; ++i) {
    if (Satisfy(static_cast<DISPATCHER_HEADER*>(thread->WaitBlockList[i].Object), thread)) {
      status = STATUS_ABANDONED_WAIT_0;
    }
  }
  return status;
}

void Prepare(KWAIT_BLOCK* block, PKTHREAD thread, PVOID object, UCHAR type, USHORT key) {
  block->WaitType = type;
  block->BlockState = 1;
  block->WaitKey = key;
  block->Thread = thread;
  block->Object = object;
  InsertTailList(&static_cast<DISPATCHER_HEADER*>(object)->WaitListHead, &block->WaitListEntry);
}

void DescribeWait(PKTHREAD thread, KWAIT_REASON reason, KPROCESSOR_MODE mode, BOOLEAN alertable,
                  KWAIT_BLOCK* blocks, ULONG count) {
  thread->WaitReason = static_cast<UCHAR>(reason);
  thread->WaitMode = mode;
  thread->Alertable = alertable;
  thread->WaitBlockList = blocks;
  thread->WaitBlockCount = static_cast<UCHAR>(count);
}

// Enters a wait routine. Kernel APCs that became due are delivered before, not during the wait.
KIRQL EnterWait(PKTHREAD thread) {
  for (;;) {
    const KIRQL old_irql = KeGetCurrentIrql();
    if (old_irql < DISPATCH_LEVEL) KfRaiseIrql(DISPATCH_LEVEL);
    KiLockDispatcherAtDispatch();
    if (!KiApcDeliverable(thread) || old_irql >= APC_LEVEL) return old_irql;
    const bool blocked = thread->KernelApcDisable != 0 || thread->ApcState.KernelApcInProgress;
    if (blocked) return old_irql;
    KiUnlockDispatcherFromDispatch();
    KeLowerIrql(APC_LEVEL);
    KiDeliverApc();
    KeLowerIrql(old_irql);
  }
}

NTSTATUS LeaveWait(KIRQL old_irql, NTSTATUS status) {
  KiExitDispatcher(old_irql);
  return status;
}

bool IsPoll(PLARGE_INTEGER timeout) {
  return timeout != nullptr && timeout->QuadPart == 0;
}

}  // namespace

extern "C" {

// Puts the thread to sleep (its blocks are queued) until it is unwaited. `timeout` 0: for ever.
NTSTATUS KiCommitThreadWait(PKTHREAD thread, PLARGE_INTEGER timeout, KIRQL old_irql) {
  PKPRCB prcb = KeGetCurrentPrcb();
  if (old_irql >= DISPATCH_LEVEL || thread == prcb->IdleThread) {
    // Nobody may sleep here. Windows stops with the same code when a DPC waits.
    KeBugCheckEx(ATTEMPTED_SWITCH_FROM_DPC, reinterpret_cast<ULONG_PTR>(thread),
                 reinterpret_cast<ULONG_PTR>(prcb->NextThread),
                 reinterpret_cast<ULONG_PTR>(thread->InitialStack), 0);
  }
  thread->WaitIrql = old_irql;
  thread->WaitTime = KiTickCount();
  thread->State = Waiting;
  if (thread->Queue != nullptr && thread->WaitReason != WrQueue) KiQueueThreadBlocks(thread->Queue);
  if (timeout != nullptr) {
    KWAIT_BLOCK* block = &thread->WaitBlock[kTimerBlock];
    Prepare(block, thread, &thread->Timer, WaitAny, static_cast<USHORT>(STATUS_TIMEOUT));
    thread->Timer.Header.SignalState = 0;
    if (!KiInsertTimer(&thread->Timer, *timeout)) {  // due already
      thread->Timer.Header.SignalState = 1;
      KiSignalObject(&thread->Timer.Header, 0);
    }
  } else {
    thread->WaitBlock[kTimerBlock].BlockState = 0;
  }
  const NTSTATUS status = static_cast<NTSTATUS>(KiSwapThread(thread, prcb));
  KeLowerIrql(old_irql);
  return status;
}

VOID KiUnwaitThread(PKTHREAD thread, LONG_PTR status, KPRIORITY increment) {
  for (ULONG i = 0; i < thread->WaitBlockCount; ++i) {
    RemoveEntryList(&thread->WaitBlockList[i].WaitListEntry);
    thread->WaitBlockList[i].BlockState = 0;
  }
  KWAIT_BLOCK* timer = &thread->WaitBlock[kTimerBlock];
  if (timer->BlockState != 0 && timer->Object == &thread->Timer) {
    RemoveEntryList(&timer->WaitListEntry);
    timer->BlockState = 0;
    KiRemoveTimer(&thread->Timer);
  }
  if (thread->Queue != nullptr) KiQueueThreadWakes(thread->Queue);
  thread->WaitStatus = status;
  KiBoostPriority(thread, increment);
  KiReadyThread(thread);
}

VOID KiSignalObject(DISPATCHER_HEADER* object, KPRIORITY increment) {
  LIST_ENTRY* link = object->WaitListHead.Flink;
  while (link != &object->WaitListHead && object->SignalState > 0) {
    KWAIT_BLOCK* block = BlockOf(link);
    link = link->Flink;
    PKTHREAD thread = block->Thread;
    if (block->WaitType == WaitAny) {
      LONG_PTR status = block->WaitKey;
      if (Satisfy(object, thread)) status |= STATUS_ABANDONED_WAIT_0;
      KiUnwaitThread(thread, status, increment);
      link = object->WaitListHead.Flink;  // the thread may have waited for this object twice
    } else if (AllSignalled(thread)) {
      KiUnwaitThread(thread, SatisfyAll(thread), increment);
      link = object->WaitListHead.Flink;
    }
  }
}

VOID KiPrepareQueueWait(PKTHREAD thread, DISPATCHER_HEADER* queue, KPROCESSOR_MODE mode) {
  DescribeWait(thread, WrQueue, mode, FALSE, thread->WaitBlock, 1);
  Prepare(&thread->WaitBlock[0], thread, queue, WaitAny, 0);
}

// A thread ends: its mutants pass on, marked.
VOID KiAbandonMutants(PKTHREAD thread) {
  while (!IsListEmpty(&thread->MutantListHead)) {
    LIST_ENTRY* link = RemoveHeadList(&thread->MutantListHead);
    PKMUTANT mutant = CONTAINING_RECORD(link, KMUTANT, MutantListEntry);
    mutant->OwnerThread = nullptr;
    mutant->Abandoned = TRUE;
    mutant->Header.SignalState = 1;
    KiSignalObject(&mutant->Header, 0);
  }
}

}  // extern "C"

extern "C" {

/// Waits until the object is signalled or the time is over. Timeout: 0 = for ever; negative = relative,
/// positive = absolute, in 100 ns; zero = only tests. IRQL: <= APC_LEVEL; <= DISPATCH_LEVEL with a zero
/// timeout. A wait that would have to sleep at DISPATCH_LEVEL is bug check B8. Differs from NT: alerts and
/// user APCs do not exist, so Alertable and WaitMode change nothing. Source: WDK wdm/KeWaitForSingleObject.
NT_EXPORT(KeWaitForSingleObject, nt::AtMost(DISPATCH_LEVEL), Partial, "KeWait.*");
NTSTATUS NTAPI KeWaitForSingleObject(PVOID Object, KWAIT_REASON WaitReason, KPROCESSOR_MODE WaitMode,
                                     BOOLEAN Alertable, PLARGE_INTEGER Timeout) {
  PKTHREAD thread = KeCurrentThread();
  auto* header = static_cast<DISPATCHER_HEADER*>(Object);
  for (;;) {
    const KIRQL old_irql = EnterWait(thread);
    if (IsSignalled(header, thread)) {
      const bool abandoned = Satisfy(header, thread);
      return LeaveWait(old_irql, abandoned ? STATUS_ABANDONED_WAIT_0 : STATUS_WAIT_0);
    }
    if (IsPoll(Timeout)) return LeaveWait(old_irql, STATUS_TIMEOUT);
    DescribeWait(thread, WaitReason, WaitMode, Alertable, thread->WaitBlock, 1);
    Prepare(&thread->WaitBlock[0], thread, Object, WaitAny, 0);
    const NTSTATUS status = KiCommitThreadWait(thread, Timeout, old_irql);
    if (status != STATUS_KERNEL_APC) return status;
  }
}

/// Waits for any or all of several objects. Returns STATUS_WAIT_0 + index for WaitAny.
/// IRQL: <= APC_LEVEL; <= DISPATCH_LEVEL with a zero timeout.
/// Differs from NT: alerts and user APCs do not exist.
/// Source: WDK wdm/KeWaitForMultipleObjects.
NT_EXPORT(KeWaitForMultipleObjects, nt::AtMost(DISPATCH_LEVEL), Partial, "KeWait.*");
NTSTATUS NTAPI KeWaitForMultipleObjects(ULONG Count, PVOID Object[], WAIT_TYPE WaitType,
                                        KWAIT_REASON WaitReason, KPROCESSOR_MODE WaitMode, BOOLEAN Alertable,
                                        PLARGE_INTEGER Timeout, PKWAIT_BLOCK WaitBlockArray) {
  PKTHREAD thread = KeCurrentThread();
  auto* blocks =
      WaitBlockArray != nullptr ? reinterpret_cast<KWAIT_BLOCK*>(WaitBlockArray) : thread->WaitBlock;
  const ULONG limit = WaitBlockArray != nullptr ? MAXIMUM_WAIT_OBJECTS : THREAD_WAIT_OBJECTS;
  if (Count == 0 || Count > limit) {
    KeBugCheckEx(MAXIMUM_WAIT_OBJECTS_EXCEEDED, Count, limit, reinterpret_cast<ULONG_PTR>(WaitBlockArray), 0);
  }
  for (;;) {
    const KIRQL old_irql = EnterWait(thread);
    bool all = true;
    for (ULONG i = 0; i < Count; ++i) {
      auto* header = static_cast<DISPATCHER_HEADER*>(Object[i]);
      const bool signalled = IsSignalled(header, thread);
      all = all && signalled;
      if (WaitType == WaitAny && signalled) {
        const bool abandoned = Satisfy(header, thread);
        return LeaveWait(old_irql,
                         static_cast<NTSTATUS>((abandoned ? STATUS_ABANDONED_WAIT_0 : STATUS_WAIT_0) + i));
      }
    }
    for (ULONG i = 0; i < Count; ++i) blocks[i].Object = Object[i];
    DescribeWait(thread, WaitReason, WaitMode, Alertable, blocks, Count);
    if (WaitType == WaitAll && all) return LeaveWait(old_irql, static_cast<NTSTATUS>(SatisfyAll(thread)));
    if (IsPoll(Timeout)) return LeaveWait(old_irql, STATUS_TIMEOUT);
    for (ULONG i = 0; i < Count; ++i) {
      Prepare(&blocks[i], thread, Object[i], static_cast<UCHAR>(WaitType), static_cast<USHORT>(i));
    }
    const NTSTATUS status = KiCommitThreadWait(thread, Timeout, old_irql);
    if (status != STATUS_KERNEL_APC) return status;
  }
}

#undef KeWaitForMutexObject  // a macro for drivers

/// As KeWaitForSingleObject: the mutex's own name for it.
/// IRQL: <= APC_LEVEL; <= DISPATCH_LEVEL with a zero timeout.
/// Differs from NT: alerts and user APCs do not exist.
/// Source: WDK wdm/KeWaitForMutexObject.
NT_EXPORT(KeWaitForMutexObject, nt::AtMost(DISPATCH_LEVEL), Partial, "KeWait.*");
NTSTATUS NTAPI KeWaitForMutexObject(PVOID Mutex, KWAIT_REASON WaitReason, KPROCESSOR_MODE WaitMode,
                                    BOOLEAN Alertable, PLARGE_INTEGER Timeout) {
  return KeWaitForSingleObject(Mutex, WaitReason, WaitMode, Alertable, Timeout);
}

/// Sleeps for the interval (negative: relative; positive: until that system time; in 100 ns).
/// IRQL: <= APC_LEVEL.
/// Differs from NT: alerts and user APCs do not exist; intervals are kept to about 0.1 ms, not to a clock
/// tick. Source: WDK wdm/KeDelayExecutionThread.
NT_EXPORT(KeDelayExecutionThread, nt::AtMost(APC_LEVEL), Partial, "KeWait.*");
NTSTATUS NTAPI KeDelayExecutionThread(KPROCESSOR_MODE WaitMode, BOOLEAN Alertable, PLARGE_INTEGER Interval) {
  PKTHREAD thread = KeCurrentThread();
  LARGE_INTEGER due = *Interval;
  if (due.QuadPart < 0)
    due.QuadPart -= static_cast<LONGLONG>(hal::PerformanceNow());  // stays the same over APCs
  for (;;) {
    const KIRQL old_irql = EnterWait(thread);
    DescribeWait(thread, DelayExecution, WaitMode, Alertable, thread->WaitBlock, 0);
    LARGE_INTEGER left = due;
    if (due.QuadPart < 0) {
      left.QuadPart += static_cast<LONGLONG>(hal::PerformanceNow());
      if (left.QuadPart >= 0) left.QuadPart = -1;
    }
    const NTSTATUS status = KiCommitThreadWait(thread, &left, old_irql);
    if (status == STATUS_TIMEOUT) return STATUS_SUCCESS;
    if (status != STATUS_KERNEL_APC) return status;
  }
}

}  // extern "C"
