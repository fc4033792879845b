// Leaving one thread for another. The next one is chosen before the current one is queued or committed to its
// wait: so processors that wait for each other's threads to be off their stacks cannot do so in a circle.
#include "ke_internal.h"

namespace {

PKTHREAD reaper_list;  // threads off their stacks, linked by KTHREAD.Win32Thread; under the event's lock
KEVENT reaper_event;

void HandToReaper(PKTHREAD thread) {
  KiAcquireObjectLock(&reaper_event.Header);
  thread->Win32Thread = reaper_list;
  reaper_list = thread;
  reaper_event.Header.SignalState = 1;
  KiSignalObject(&reaper_event.Header, 0);
  KiReleaseObjectLock(&reaper_event.Header);
}

// On the new thread's stack.
void FinishSwitch() {
  PKPRCB prcb = KeGetCurrentPrcb();
  PKTHREAD previous = prcb->PreviousThread;
  const bool ended = previous->State == Terminated;
  __atomic_store_n(&previous->Running, UCHAR{FALSE}, __ATOMIC_RELEASE);  // another processor may run it now
  if (ended) HandToReaper(previous);
  KiProcessDeferred(prcb);
  if (prcb->NextThread != nullptr) KiRequestDispatchInterrupt(prcb);
  if (KiApcDeliverable(prcb->CurrentThread)) hal::SendSelfIpi(hal::kApcVector);
}

void StartRunning(PKTHREAD thread, PKPRCB prcb) {
  const ULONG64 now = hal::PerformanceNow();
  thread->Running = TRUE;
  thread->QuantumTarget = now + (thread->QuantumLeft != 0 ? thread->QuantumLeft : kQuantumUnits);
  thread->QuantumLeft = 0;
  ++thread->ContextSwitches;
  ++prcb->KeContextSwitches;
  prcb->QuantumEnd = FALSE;
  if (thread != prcb->IdleThread) KiEnsureClock(prcb, now + kTickUnits);
}

void ChargeCycles(PKTHREAD thread, PKPRCB prcb) {
  const ULONG64 now = hal::ReadTsc();
  thread->CycleTime = thread->CycleTime + (now - prcb->StartCycles);
  prcb->StartCycles = now;
}

bool Misplaced(PKPRCB prcb) {
  return (prcb->CurrentThread->Affinity & prcb->SetMember) == 0;
}

// Priority decays towards the base, or to what waiters for the thread's locks lend it.
void EndQuantum(PKPRCB prcb) {
  PKTHREAD thread = prcb->CurrentThread;
  prcb->QuantumEnd = FALSE;
  if (thread == prcb->IdleThread) return;
  thread->QuantumTarget = hal::PerformanceNow() + kQuantumUnits;
  const KPRIORITY floor =
      thread->AbPriorityFloor > thread->BasePriority ? thread->AbPriorityFloor : thread->BasePriority;
  if (thread->Priority < kLowRealtime && thread->Priority > floor) {
    KiSetPriority(thread, thread->Priority - 1, thread->BasePriority);
  }
}

// Leaves the current thread for one of at least `minimum`, if there is any; for the idle thread if it may not
// stay.
KI_NOINLINE void Preempt(PKPRCB prcb, int minimum) {
  PKTHREAD thread = prcb->CurrentThread;
  const bool misplaced = Misplaced(prcb);
  PKTHREAD next = KiSelectThread(prcb, misplaced ? 0 : minimum, misplaced);
  if (next == nullptr) return;
  if (thread != prcb->IdleThread) {
    const ULONG64 now = hal::PerformanceNow();
    thread->QuantumLeft = now < thread->QuantumTarget ? thread->QuantumTarget - now : 0;
    thread->Preempted = thread->QuantumLeft != 0 && next->Priority > thread->Priority;
    KiDeferReady(thread);
  }
  KiSwapThread(thread, next);
}

int PriorityToBeat(PKPRCB prcb) {
  PKTHREAD thread = prcb->CurrentThread;
  return thread == prcb->IdleThread ? 0 : thread->Priority + 1;
}

}  // namespace

DispatchGuard::DispatchGuard() : old_irql_(KeGetCurrentIrql()) {
  if (old_irql_ < DISPATCH_LEVEL) KfRaiseIrql(DISPATCH_LEVEL);
}
DispatchGuard::~DispatchGuard() {
  if (!keep_) KiExitDispatcher(old_irql_);
}
void DispatchGuard::KeepForNextWait() {
  PKTHREAD thread = KeCurrentThread();
  thread->WaitIrql = old_irql_;
  thread->WaitNext = TRUE;
  keep_ = true;
}

extern "C" {

VOID KiRequestDispatchInterrupt(PKPRCB prcb) {
  if (__atomic_exchange_n(&prcb->DispatchPending, UCHAR{1}, __ATOMIC_ACQ_REL) != 0) return;
  if (prcb == KeGetCurrentPrcb()) {
    hal::SendSelfIpi(hal::kDispatchVector);
  } else {
    hal::SendIpi(prcb->ApicId, hal::kDispatchVector);
  }
}

VOID KiRequestWork(PKPRCB prcb, UCHAR work) {
  __atomic_fetch_or(&prcb->TimerExpirationWanted, work, __ATOMIC_ACQ_REL);
  KiRequestDispatchInterrupt(prcb);
}

VOID KiSwapThread(PKTHREAD old, PKTHREAD next) {
  PKPRCB prcb = KeGetCurrentPrcb();
  KiProcessDeferred(prcb);
  while (__atomic_load_n(&next->Running, __ATOMIC_ACQUIRE) != FALSE) KiSpinUntilClear(&next->Running, 0xFF);
  ChargeCycles(old, prcb);
  prcb->PreviousThread = old;
  prcb->CurrentThread = next;
  StartRunning(next, prcb);
  KiPrepareUserEntry(prcb, next);
  const ULONG64 table = next->ApcState.Process->DirectoryTableBase;
  if (table != old->ApcState.Process->DirectoryTableBase) arch::WriteCr3(table);
  KiSwapContext(&old->KernelStack, next->KernelStack);
  FinishSwitch();
}

VOID KiFinishThreadStart() {
  FinishSwitch();
  KeLowerIrql(PASSIVE_LEVEL);
}

VOID KiExitDispatcher(KIRQL old_irql) {
  PKPRCB prcb = KeGetCurrentPrcb();
  KiProcessDeferred(prcb);
  if (prcb->NextThread != nullptr || Misplaced(prcb)) {
    if (old_irql < DISPATCH_LEVEL) {
      Preempt(prcb, PriorityToBeat(prcb));
    } else {
      KiRequestDispatchInterrupt(prcb);
    }
  }
  KeLowerIrql(old_irql);
}

// An equal gets its turn. DISPATCH_LEVEL.
VOID KiYield() {
  PKPRCB prcb = KeGetCurrentPrcb();
  PKTHREAD thread = prcb->CurrentThread;
  KiProcessDeferred(prcb);
  Preempt(prcb, thread == prcb->IdleThread ? 0 : thread->Priority);
}

// At DISPATCH_LEVEL in the dispatch interrupt, DPCs done.
VOID KiDispatchInterrupt(bool look) {
  PKPRCB prcb = KeGetCurrentPrcb();
  KiProcessDeferred(prcb);
  if (prcb->QuantumEnd) {
    EndQuantum(prcb);
    KiYield();
  } else if (look || prcb->NextThread != nullptr || Misplaced(prcb)) {
    Preempt(prcb, PriorityToBeat(prcb));
  }
}

// With -icount the virtual clock jumps to the next timer when all processors halt, so a time-out of minutes
// can pass before the host has answered a request. The last processor to become idle therefore lets some
// instructions, that is some of the host's time, pass first.
static VOID KiGiveHostTime(PKPRCB prcb) {
  constexpr ULONG kInstructions = 2'000'000;
  const ULONG switches = prcb->KeContextSwitches;
  for (volatile ULONG i = 0; i < kInstructions / 8; i = i + 1) {
    if (KiIdleSummary != KeActiveProcessors || prcb->KeContextSwitches != switches) return;
  }
}

// Nothing to run: every reason to leave comes as an interrupt, whose tail switches.
[[noreturn]] VOID KiIdleLoop() {
  KeLowerIrql(PASSIVE_LEVEL);
  for (;;) {
    if (KeLoaderBlock->accelerator == boot::Accelerator::kTcgIcount) KiGiveHostTime(KeGetCurrentPrcb());
    arch::DisableInterrupts();
    // Whoever queues a DPC afterwards sees IdleHalt and interrupts; what was queued before is seen here.
    PKPRCB prcb = KeGetCurrentPrcb();
    __atomic_store_n(&prcb->IdleHalt, UCHAR{1}, __ATOMIC_SEQ_CST);
    if (prcb->DpcData[0].DpcQueueDepth != 0) KiRequestDispatchInterrupt(prcb);
    arch::EnableInterruptsAndHalt();
    prcb->IdleHalt = 0;
  }
}

PKTHREAD KiTakeReaperList() {
  KeWaitForSingleObject(&reaper_event, Executive, KernelMode, FALSE, nullptr);
  ObjectGuard guard(&reaper_event.Header);
  PKTHREAD list = reaper_list;
  reaper_list = nullptr;
  return list;
}

VOID KiInitializeScheduler() {
  KeInitializeEvent(&reaper_event, SynchronizationEvent, FALSE);
}

}  // extern "C"
