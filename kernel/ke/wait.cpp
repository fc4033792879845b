// Waiting: the thread looks, links its blocks, looks once more for what may interrupt it, and sleeps unless
// its wait was decided meanwhile (wait_decision.cpp).
#include "ke_internal.h"
#include "nt/export.h"

namespace {

// Thread's own blocks: three objects and, last, its timer.
constexpr ULONG kTimerBlock = 3;

ULONG PhaseOf(PKTHREAD thread) {
  return __atomic_load_n(&thread->WaitRegister, __ATOMIC_ACQUIRE) & kWaitPhaseMask;
}

// Thread lock held: an alert, a user APC or the thread's end ends such a wait.
bool AlertDue(PKTHREAD thread, KPROCESSOR_MODE mode, BOOLEAN alertable) {
  const bool user = mode == UserMode;
  if (user && thread->ExitPending) return true;
  if (!alertable) return user && thread->ApcState.UserApcPending;
  return thread->Alerted[static_cast<int>(mode)] || thread->Alerted[KernelMode] ||
         (user && !IsListEmpty(&thread->ApcState.ApcListHead[UserMode]));
}

VOID RegisterTimer(PKTHREAD thread, LARGE_INTEGER left) {
  DISPATCHER_HEADER* timer = &thread->Timer.Header;
  KiAcquireObjectLock(timer);
  timer->SignalState = 0;
  KiLinkWaitBlock(&thread->WaitBlock[kTimerBlock], thread, timer, WaitAny,
                  static_cast<USHORT>(STATUS_TIMEOUT));
  if (!KiInsertTimer(&thread->Timer, left) && KiClaimWait(thread, kNoteTimeout)) {
    KiDecideWait(thread, STATUS_TIMEOUT, 0);
  }
  KiReleaseObjectLock(timer);
}

// What is left in lists. A block that the winning signal took out needs no lock if the thread slept: it was
// readied after that lock was released.
VOID Unlink(KWAIT_BLOCK* block, bool slept, PKTIMER timer) {
  if (slept && block->BlockState == kBlockSatisfied) return;
  auto* object = static_cast<DISPATCHER_HEADER*>(block->Object);
  KiAcquireObjectLock(object);
  if (block->BlockState == kBlockLinked) RemoveEntryList(&block->WaitListEntry);
  if (timer != nullptr) KiRemoveTimer(timer);
  KiReleaseObjectLock(object);
}

// The last look: what would have interrupted the sleep must not be slept over. False: the wait is decided.
bool TryCommit(PKTHREAD thread) {
  for (;;) {
    KiAcquireThreadLock(thread);
    if (KiKernelApcDue(thread, thread->WaitIrql) || AlertDue(thread, thread->WaitMode, thread->Alertable)) {
      KiReleaseThreadLock(thread);
      if (KiClaimWait(thread, kNoteInterrupt)) KiDecideWait(thread, STATUS_KERNEL_APC, 0);
      return false;
    }
    thread->State = Waiting;
    ULONG expected = kWaitRegistering;
    const bool committed = __atomic_compare_exchange_n(
        &thread->WaitRegister, &expected, ULONG{kWaitCommitted}, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    if (!committed) thread->State = Running;
    KiReleaseThreadLock(thread);
    if (committed) return true;
    if ((expected & kWaitPhaseMask) != kWaitEvaluating) return false;
    arch::Pause();  // somebody evaluates; he may need the thread's lock
  }
}

struct Request {
  PKTHREAD thread;
  KWAIT_REASON reason;
  KPROCESSOR_MODE mode;
  BOOLEAN alertable;
  KiDeadline deadline;
};

NTSTATUS Leave(KIRQL old_irql, NTSTATUS status) {
  KiExitDispatcher(old_irql);
  return status;
}

NTSTATUS Sleep(const Request& request, KWAIT_BLOCK* blocks, ULONG linked, KIRQL old_irql) {
  const LARGE_INTEGER left = request.deadline.Left();
  KiCommitThreadWait(request.thread, blocks, linked, request.deadline.forever ? nullptr : &left);
  return Leave(old_irql, static_cast<NTSTATUS>(request.thread->WaitStatus));
}

bool IsAtLimit(DISPATCHER_HEADER* object) {
  return KiTypeOf(object) == kMutant && object->SignalState == static_cast<LONG>(MINLONG);
}

[[noreturn]] void RaiseLimit(KIRQL old_irql) {
  KiExitDispatcher(old_irql);
  ExRaiseStatus(STATUS_MUTANT_LIMIT_EXCEEDED);
}

void Begin(const Request& request, KIRQL old_irql, KWAIT_BLOCK* blocks, ULONG count) {
  request.thread->WaitBlockList = blocks;
  request.thread->WaitBlockCount = static_cast<UCHAR>(count);
  KiBeginWait(request.thread, request.reason, request.mode, request.alertable, old_irql);
}

// STATUS_KERNEL_APC: once more.
NTSTATUS WaitForOne(const Request& request, DISPATCHER_HEADER* object) {
  PKTHREAD thread = request.thread;
  const KIRQL old_irql = KiEnterWait(thread);
  KiAcquireObjectLock(object);
  if (KiIsSignalled(object, thread)) {
    const bool limit = IsAtLimit(object);
    const bool abandoned = !limit && KiSatisfy(object, thread);
    KiReleaseObjectLock(object);
    if (limit) RaiseLimit(old_irql);
    return Leave(old_irql, abandoned ? STATUS_ABANDONED_WAIT_0 : STATUS_WAIT_0);
  }
  NTSTATUS status = STATUS_TIMEOUT;
  if (KiTestAlert(thread, request.mode, request.alertable, &status) || request.deadline.poll) {
    KiReleaseObjectLock(object);
    return Leave(old_irql, status);
  }
  Begin(request, old_irql, thread->WaitBlock, 1);
  KiLinkWaitBlock(&thread->WaitBlock[0], thread, object, WaitAny, 0);
  KiReleaseObjectLock(object);
  return Sleep(request, thread->WaitBlock, 1, old_irql);
}

// Object after object, in the caller's order: the first that is signalled. True: `status` is the answer.
bool TakeAny(PKTHREAD thread, PVOID* objects, ULONG count, KIRQL old_irql, NTSTATUS* status) {
  for (ULONG i = 0; i < count; ++i) {
    auto* object = static_cast<DISPATCHER_HEADER*>(objects[i]);
    KiAcquireObjectLock(object);
    const bool signalled = KiIsSignalled(object, thread);
    const bool limit = signalled && IsAtLimit(object);
    const bool abandoned = signalled && !limit && KiSatisfy(object, thread);
    KiReleaseObjectLock(object);
    if (limit) RaiseLimit(old_irql);
    if (!signalled) continue;
    *status = static_cast<NTSTATUS>((abandoned ? STATUS_ABANDONED_WAIT_0 : STATUS_WAIT_0) + i);
    return true;
  }
  return false;
}

// Links a block to each object until one turns out to be signalled, or the wait is decided by one of the
// others. Returns how many are linked.
ULONG LinkAny(PKTHREAD thread, PVOID* objects, ULONG count, KWAIT_BLOCK* blocks) {
  for (ULONG i = 0; i < count; ++i) {
    auto* object = static_cast<DISPATCHER_HEADER*>(objects[i]);
    KiAcquireObjectLock(object);
    if (KiIsSignalled(object, thread)) {
      const bool ours = KiClaimWait(thread, 0);
      const bool abandoned = ours && KiSatisfy(object, thread);
      KiReleaseObjectLock(object);
      if (ours) KiDecideWait(thread, (abandoned ? STATUS_ABANDONED_WAIT_0 : STATUS_WAIT_0) + i, 0);
      return i;
    }
    KiLinkWaitBlock(&blocks[i], thread, object, WaitAny, static_cast<USHORT>(i));
    KiReleaseObjectLock(object);
  }
  return count;
}

NTSTATUS WaitForAny(const Request& request, PVOID* objects, ULONG count, KWAIT_BLOCK* blocks) {
  PKTHREAD thread = request.thread;
  const KIRQL old_irql = KiEnterWait(thread);
  NTSTATUS status = STATUS_TIMEOUT;
  if (TakeAny(thread, objects, count, old_irql, &status) ||
      KiTestAlert(thread, request.mode, request.alertable, &status) || request.deadline.poll) {
    return Leave(old_irql, status);
  }
  Begin(request, old_irql, blocks, count);
  const ULONG linked = LinkAny(thread, objects, count, blocks);
  return Sleep(request, blocks, linked, old_irql);
}

NTSTATUS WaitForAll(const Request& request, PVOID* objects, ULONG count, KWAIT_BLOCK* blocks) {
  PKTHREAD thread = request.thread;
  for (ULONG i = 0; i < count; ++i) blocks[i].Object = objects[i];
  const KIRQL old_irql = KiEnterWait(thread);
  KiLockAllObjects(blocks, count);
  bool all = true, limit = false;
  for (ULONG i = 0; i < count && all; ++i) {
    auto* object = static_cast<DISPATCHER_HEADER*>(objects[i]);
    all = KiIsSignalled(object, thread);
    limit = limit || IsAtLimit(object);
  }
  NTSTATUS status = STATUS_TIMEOUT;
  const bool taken = all && !limit;
  if (taken) {
    status = STATUS_WAIT_0;
    for (ULONG i = 0; i < count; ++i) {
      if (KiSatisfy(static_cast<DISPATCHER_HEADER*>(objects[i]), thread)) status = STATUS_ABANDONED_WAIT_0;
    }
  }
  if (all || KiTestAlert(thread, request.mode, request.alertable, &status) || request.deadline.poll) {
    KiUnlockAllObjects(blocks, count, nullptr);
    if (all && limit) RaiseLimit(old_irql);
    return Leave(old_irql, status);
  }
  Begin(request, old_irql, blocks, count);
  for (ULONG i = 0; i < count; ++i) {
    KiLinkWaitBlock(&blocks[i], thread, static_cast<DISPATCHER_HEADER*>(objects[i]), WaitAll,
                    static_cast<USHORT>(i));
  }
  KiUnlockAllObjects(blocks, count, nullptr);
  return Sleep(request, blocks, count, old_irql);
}

}  // namespace

KiDeadline::KiDeadline(const LARGE_INTEGER* timeout) {
  if (timeout == nullptr || timeout->QuadPart < MINLONGLONG / 2) {
    forever = true;
  } else {
    poll = timeout->QuadPart == 0;
    due = timeout->QuadPart;
    if (due < 0) due -= static_cast<LONGLONG>(hal::PerformanceNow());
  }
}

LARGE_INTEGER KiDeadline::Left() const {
  LARGE_INTEGER left;
  left.QuadPart = due;
  if (due < 0) {
    left.QuadPart += static_cast<LONGLONG>(hal::PerformanceNow());
    if (left.QuadPart >= 0) left.QuadPart = -1;
  }
  return left;
}

extern "C" {

KIRQL KiEnterWait(PKTHREAD thread) {
  if (thread->WaitNext) {
    thread->WaitNext = FALSE;
    return thread->WaitIrql;
  }
  for (;;) {
    const KIRQL old_irql = KeGetCurrentIrql();
    if (old_irql < DISPATCH_LEVEL) KfRaiseIrql(DISPATCH_LEVEL);
    if (!thread->ApcState.KernelApcPending || old_irql >= APC_LEVEL) return old_irql;
    KiAcquireThreadLock(thread);
    const bool due = KiKernelApcDue(thread, old_irql);
    KiReleaseThreadLock(thread);
    if (!due) return old_irql;
    KeLowerIrql(APC_LEVEL);
    KiDeliverApc();
    KeLowerIrql(old_irql);
  }
}

bool KiTestAlert(PKTHREAD thread, KPROCESSOR_MODE mode, BOOLEAN alertable, NTSTATUS* status) {
  if (!alertable && mode == KernelMode) return false;
  KiAcquireThreadLock(thread);
  const bool due = AlertDue(thread, mode, alertable);
  if (due) {
    KAPC_STATE* apcs = &thread->ApcState;
    if (alertable && thread->Alerted[static_cast<int>(mode)]) {
      thread->Alerted[static_cast<int>(mode)] = FALSE;
      *status = STATUS_ALERTED;
    } else if (mode == UserMode && thread->ExitPending) {
      *status = STATUS_USER_APC;  // seen by the kernel only
    } else if (mode == UserMode && (apcs->UserApcPending || !IsListEmpty(&apcs->ApcListHead[UserMode]))) {
      apcs->UserApcPending = TRUE;
      *status = STATUS_USER_APC;
    } else {
      thread->Alerted[KernelMode] = FALSE;
      *status = STATUS_ALERTED;
    }
  }
  KiReleaseThreadLock(thread);
  return due;
}

VOID KiBeginWait(PKTHREAD thread, KWAIT_REASON reason, KPROCESSOR_MODE mode, BOOLEAN alertable,
                 KIRQL old_irql) {
  thread->WaitReason = static_cast<UCHAR>(reason);
  thread->WaitMode = mode;
  thread->Alertable = alertable;
  thread->WaitIrql = old_irql;
  thread->WaitTime = KiTickCount();
  __atomic_store_n(&thread->WaitRegister, kWaitRegistering, __ATOMIC_RELEASE);
}

// Sleeps until the wait is decided (thread->WaitStatus then) and takes the blocks out of their lists.
// DISPATCH_LEVEL before and after, no lock held.
VOID KiCommitThreadWait(PKTHREAD thread, KWAIT_BLOCK* blocks, ULONG count, const LARGE_INTEGER* left) {
  PKPRCB prcb = KeGetCurrentPrcb();
  if (left != nullptr) RegisterTimer(thread, *left);
  const bool counted = thread->Queue != nullptr && thread->WaitReason != WrQueue;
  if (counted) KiQueueThreadBlocks(thread);
  bool slept = false;
  const ULONG phase = PhaseOf(thread);
  if (phase == kWaitRegistering || phase == kWaitEvaluating) {
    PKTHREAD next = KiSelectThread(prcb, 0, true);
    if (thread->WaitIrql >= DISPATCH_LEVEL || thread == prcb->IdleThread) {
      KeBugCheckEx(ATTEMPTED_SWITCH_FROM_DPC, reinterpret_cast<ULONG_PTR>(thread),
                   reinterpret_cast<ULONG_PTR>(next), reinterpret_cast<ULONG_PTR>(thread->InitialStack), 0);
    }
    slept = TryCommit(thread);
    if (slept) {
      KiSwapThread(thread, next);
    } else {
      KiUnselectThread(prcb, next, thread);
      KiProcessDeferred(prcb);  // before it waits for whoever decides: somebody else may run that thread
    }
  }
  while (PhaseOf(thread) != kWaitDecided) arch::Pause();
  for (ULONG i = 0; i < count; ++i) Unlink(&blocks[i], slept, nullptr);
  if (left != nullptr) Unlink(&thread->WaitBlock[kTimerBlock], slept, &thread->Timer);
  __atomic_store_n(&thread->WaitRegister, kWaitNone, __ATOMIC_RELEASE);
  if (counted) KiQueueThreadWakes(thread);
}

// A thread ends: its mutants pass on, marked.
VOID KiAbandonMutants(PKTHREAD thread) {
  for (;;) {
    KiAcquireThreadLock(thread);
    if (IsListEmpty(&thread->MutantListHead)) break;
    PKMUTANT mutant = CONTAINING_RECORD(thread->MutantListHead.Flink, KMUTANT, MutantListEntry);
    const bool locked = KiTryAcquireObjectLock(&mutant->Header);  // against the order of locks
    if (locked) RemoveEntryList(&mutant->MutantListEntry);
    KiReleaseThreadLock(thread);
    if (!locked) {
      arch::Pause();
      continue;
    }
    mutant->OwnerThread = nullptr;
    mutant->Abandoned = TRUE;
    mutant->Header.SignalState = 1;
    KiSignalObject(&mutant->Header, 0);
    KiReleaseObjectLock(&mutant->Header);
  }
  KiReleaseThreadLock(thread);
}

/// Waits until the object is signalled or the time is over. Timeout: 0 = for ever; negative = relative,
/// positive = absolute, in 100 ns; zero = only tests. An alertable wait ends with STATUS_ALERTED or, in user
/// mode, STATUS_USER_APC.
/// IRQL: <= APC_LEVEL; <= DISPATCH_LEVEL with a zero timeout. A wait that would have to sleep at
/// DISPATCH_LEVEL is bug check B8.
/// Differs from NT: none.
/// Source: WDK wdm/KeWaitForSingleObject.
NT_EXPORT(KeWaitForSingleObject, nt::AtMost(DISPATCH_LEVEL), Full, "KeWait.*");
NTSTATUS NTAPI KeWaitForSingleObject(PVOID Object, KWAIT_REASON WaitReason, KPROCESSOR_MODE WaitMode,
                                     BOOLEAN Alertable, PLARGE_INTEGER Timeout) {
  const Request request = {KeCurrentThread(), WaitReason, WaitMode, Alertable, KiDeadline(Timeout)};
  for (;;) {
    const NTSTATUS status = WaitForOne(request, static_cast<DISPATCHER_HEADER*>(Object));
    if (status != STATUS_KERNEL_APC) return status;
  }
}

/// Waits for any or all of several objects. Returns STATUS_WAIT_0 + index for WaitAny. All are taken at once
/// or none.
/// IRQL: <= APC_LEVEL; <= DISPATCH_LEVEL with a zero timeout.
/// Differs from NT: none.
/// Source: WDK wdm/KeWaitForMultipleObjects.
NT_EXPORT(KeWaitForMultipleObjects, nt::AtMost(DISPATCH_LEVEL), Full, "KeWait.*");
NTSTATUS NTAPI KeWaitForMultipleObjects(ULONG Count, PVOID Object[], WAIT_TYPE WaitType,
                                        KWAIT_REASON WaitReason, KPROCESSOR_MODE WaitMode, BOOLEAN Alertable,
                                        PLARGE_INTEGER Timeout, PKWAIT_BLOCK WaitBlockArray) {
  const Request request = {KeCurrentThread(), WaitReason, WaitMode, Alertable, KiDeadline(Timeout)};
  auto* blocks =
      WaitBlockArray != nullptr ? reinterpret_cast<KWAIT_BLOCK*>(WaitBlockArray) : request.thread->WaitBlock;
  const ULONG limit = WaitBlockArray != nullptr ? MAXIMUM_WAIT_OBJECTS : THREAD_WAIT_OBJECTS;
  if (Count == 0 || Count > limit) {
    KeBugCheckEx(MAXIMUM_WAIT_OBJECTS_EXCEEDED, Count, limit, reinterpret_cast<ULONG_PTR>(WaitBlockArray), 0);
  }
  for (;;) {
    const NTSTATUS status = WaitType == WaitAny ? WaitForAny(request, Object, Count, blocks)
                                                : WaitForAll(request, Object, Count, blocks);
    if (status != STATUS_KERNEL_APC) return status;
  }
}

#undef KeWaitForMutexObject  // a macro for drivers

/// As KeWaitForSingleObject: the mutex's own name for it.
/// IRQL: <= APC_LEVEL; <= DISPATCH_LEVEL with a zero timeout.
/// Differs from NT: none.
/// Source: WDK wdm/KeWaitForMutexObject.
NT_EXPORT(KeWaitForMutexObject, nt::AtMost(DISPATCH_LEVEL), Full, "KeWait.*");
NTSTATUS NTAPI KeWaitForMutexObject(PVOID Mutex, KWAIT_REASON WaitReason, KPROCESSOR_MODE WaitMode,
                                    BOOLEAN Alertable, PLARGE_INTEGER Timeout) {
  return KeWaitForSingleObject(Mutex, WaitReason, WaitMode, Alertable, Timeout);
}

/// Sleeps for the interval (negative: relative; positive: until that system time; in 100 ns); zero gives way
/// to others.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: intervals are kept to about 0.1 ms, not to a clock tick.
/// Source: WDK wdm/KeDelayExecutionThread.
NT_EXPORT(KeDelayExecutionThread, nt::AtMost(APC_LEVEL), Full, "KeWait.*");
NTSTATUS NTAPI KeDelayExecutionThread(KPROCESSOR_MODE WaitMode, BOOLEAN Alertable, PLARGE_INTEGER Interval) {
  const Request request = {KeCurrentThread(), DelayExecution, WaitMode, Alertable, KiDeadline(Interval)};
  PKTHREAD thread = request.thread;
  for (;;) {
    const KIRQL old_irql = KiEnterWait(thread);
    NTSTATUS status = STATUS_SUCCESS;
    if (KiTestAlert(thread, WaitMode, Alertable, &status)) return Leave(old_irql, status);
    if (request.deadline.poll) {
      Leave(old_irql, status);
      NtYieldExecution();
      return STATUS_SUCCESS;
    }
    Begin(request, old_irql, thread->WaitBlock, 0);
    status = Sleep(request, thread->WaitBlock, 0, old_irql);
    if (status == STATUS_TIMEOUT) return STATUS_SUCCESS;
    if (status != STATUS_KERNEL_APC) return status;
  }
}

}  // extern "C"
