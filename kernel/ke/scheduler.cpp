// The dispatcher: who runs where. Ready queues are per processor (a cache hint); every processor may take
// from every queue, so no runnable thread of higher priority waits while a lower one runs anywhere that it
// may run. That holds too for a thread already chosen for a processor (standby) that turns out not to leave
// DISPATCH_LEVEL.
#include "ke_internal.h"

#include "ktl/ready_queue.h"

extern "C" KAFFINITY KiIdleSummary = 0;

namespace {

volatile long dispatcher_lock;
// Processors to interrupt when the lock is released: sooner they would spin for it.
KAFFINITY interrupts_wanted;
PKTHREAD reaper_list;  // threads off their stacks, linked by KTHREAD.Win32Thread
KEVENT reaper_event;

using Queues = ktl::ReadyQueues<LIST_ENTRY>;
Queues QueuesOf(PKPRCB prcb) {
  return {prcb->DispatcherReadyListHead, reinterpret_cast<uint32_t*>(&prcb->ReadySummary)};
}
PKTHREAD ThreadOf(LIST_ENTRY* link) {
  return CONTAINING_RECORD(link, KTHREAD, WaitListEntry);
}

// What a new thread has to beat on that processor.
int EffectivePriority(PKPRCB prcb) {
  if (prcb->NextThread != nullptr) return prcb->NextThread->Priority;
  return prcb->CurrentThread == prcb->IdleThread ? -1 : prcb->CurrentThread->Priority;
}

void QueueReady(PKTHREAD thread, PKPRCB prcb, bool front) {
  thread->State = Ready;
  thread->NextProcessor = prcb->Number;
  QueuesOf(prcb).Insert(&thread->WaitListEntry, thread->Priority, front);
}

void MakeStandby(PKTHREAD thread, PKPRCB prcb) {
  thread->State = Standby;
  thread->NextProcessor = prcb->Number;
  prcb->NextThread = thread;
  KiIdleSummary &= ~prcb->SetMember;
  if (prcb != KeGetCurrentPrcb()) interrupts_wanted |= prcb->SetMember;
}

PKPRCB FirstProcessorOf(KAFFINITY set) {
  return KiProcessorBlock[__builtin_ctzll(set)];
}

// The processor on which `thread` preempts the least: not one that has been at DISPATCH_LEVEL for a whole
// tick, unless all have. 0: it preempts nobody.
PKPRCB FindVictim(PKTHREAD thread, KAFFINITY set) {
  PKPRCB best = nullptr;
  int best_cost = 1 << 30;
  for (; set != 0; set &= set - 1) {
    PKPRCB prcb = FirstProcessorOf(set);
    const int priority = EffectivePriority(prcb);
    if (priority >= thread->Priority) continue;
    int cost = priority * 2 + (prcb->PendingTickFlags != 0 ? 1000 : 0);
    if (prcb->Number != thread->IdealProcessor) ++cost;
    if (cost < best_cost) best = prcb, best_cost = cost;
  }
  return best;
}

struct Candidate {
  PKTHREAD thread = nullptr;
  PKPRCB owner = nullptr;  // in whose queue, or whose NextThread
  int priority = -1;
};

// The best thread that `prcb` may run, of all ready and standby ones, with at least `minimum`; not taken yet.
Candidate FindBest(PKPRCB prcb, int minimum) {
  Candidate best;
  const KAFFINITY member = prcb->SetMember;
  const auto accept = [member](LIST_ENTRY* link) { return (ThreadOf(link)->Affinity & member) != 0; };
  const ULONG start = prcb->Number;
  const ULONG count = static_cast<ULONG>(KeNumberProcessors);
  for (ULONG k = 0; k < count; ++k) {
    PKPRCB other = KiProcessorBlock[(start + k) % count];
    if (other == nullptr) continue;
    const int floor = best.priority + 1 > minimum ? best.priority + 1 : minimum;
    if (floor >= ktl::kPriorities) break;
    PKTHREAD standby = other->NextThread;
    if (standby != nullptr && standby->Priority >= floor && (standby->Affinity & member) != 0) {
      best = {standby, other, standby->Priority};
    }
    int priority;
    const int queue_floor = best.priority + 1 > minimum ? best.priority + 1 : minimum;
    if (queue_floor >= ktl::kPriorities) break;
    LIST_ENTRY* link = QueuesOf(other).Find(queue_floor, accept, &priority);
    if (link != nullptr) best = {ThreadOf(link), other, priority};
  }
  return best;
}

// `owner` lost its standby thread: the best of its own queue takes the place if it beats what runs there.
// Without this a thread that the lost one had displaced would wait behind a lower one, or behind nothing at
// all.
void Refill(PKPRCB owner) {
  const bool idle = owner->CurrentThread == owner->IdleThread;
  const KAFFINITY member = owner->SetMember;
  const auto accept = [member](LIST_ENTRY* link) { return (ThreadOf(link)->Affinity & member) != 0; };
  const int minimum = idle ? 0 : owner->CurrentThread->Priority + 1;
  int priority;
  LIST_ENTRY* link = minimum < ktl::kPriorities ? QueuesOf(owner).Find(minimum, accept, &priority) : nullptr;
  if (link != nullptr) {
    QueuesOf(owner).Remove(link, priority);
    MakeStandby(ThreadOf(link), owner);
  } else if (idle) {
    KiIdleSummary |= member;
  }
}

// `taker` is the processor that will run the thread, 0 if it is not known yet.
void Take(const Candidate& candidate, PKPRCB taker) {
  PKPRCB owner = candidate.owner;
  if (owner->NextThread != candidate.thread) {
    QueuesOf(owner).Remove(&candidate.thread->WaitListEntry, candidate.thread->Priority);
    return;
  }
  owner->NextThread = nullptr;
  if (owner != taker) Refill(owner);
}

PKTHREAD SelectNextThread(PKPRCB prcb) {
  const Candidate best = FindBest(prcb, 0);
  if (best.thread == nullptr) {
    KiIdleSummary |= prcb->SetMember;
    return prcb->IdleThread;
  }
  Take(best, prcb);
  PKTHREAD displaced = prcb->NextThread;  // a better one appeared elsewhere
  prcb->NextThread = nullptr;
  if (displaced != nullptr) QueueReady(displaced, prcb, true);
  KiIdleSummary &= ~prcb->SetMember;
  return best.thread;
}

// After a switch, on the new thread's stack, lock held.
void FinishSwitch(PKPRCB prcb) {
  PKTHREAD exited = prcb->ExitedThread;
  if (exited == nullptr) return;
  prcb->ExitedThread = nullptr;
  exited->Win32Thread = reaper_list;
  reaper_list = exited;
  reaper_event.Header.SignalState = 1;
  KiSignalObject(&reaper_event.Header, 0);
}

void StartRunning(PKTHREAD thread, PKPRCB prcb) {
  const ULONG64 now = hal::PerformanceNow();
  thread->State = Running;
  thread->Running = TRUE;
  thread->NextProcessor = prcb->Number;
  thread->QuantumTarget = now + kQuantumUnits;
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

// Quantum over: priority decays towards the base; an equal gets its turn.
void QuantumEnd(PKPRCB prcb) {
  PKTHREAD thread = prcb->CurrentThread;
  prcb->QuantumEnd = FALSE;
  if (thread == prcb->IdleThread) return;
  thread->QuantumTarget = hal::PerformanceNow() + kQuantumUnits;
  if (thread->Priority < kLowRealtime && thread->Priority > thread->BasePriority) --thread->Priority;
  if (prcb->NextThread != nullptr) return;
  const Candidate best = FindBest(prcb, thread->Priority);
  if (best.thread == nullptr) return;
  Take(best, prcb);
  best.thread->State = Standby;
  best.thread->NextProcessor = prcb->Number;
  prcb->NextThread = best.thread;
}

}  // namespace

void KiLockDispatcherAtDispatch() {
  while (__atomic_exchange_n(&dispatcher_lock, 1, __ATOMIC_ACQUIRE) != 0) {
    for (int i = 0; i < 200 && dispatcher_lock != 0; ++i) {
    }
    if (dispatcher_lock != 0) arch::Pause();
  }
}
bool KiTryLockDispatcher() {
  return __atomic_exchange_n(&dispatcher_lock, 1, __ATOMIC_ACQUIRE) == 0;
}
void KiUnlockDispatcherFromDispatch() {
  KAFFINITY wanted = interrupts_wanted;
  interrupts_wanted = 0;
  __atomic_store_n(&dispatcher_lock, 0, __ATOMIC_RELEASE);
  for (; wanted != 0; wanted &= wanted - 1) KiRequestDispatchInterrupt(FirstProcessorOf(wanted));
}

DispatcherGuard::DispatcherGuard()
    : old_irql_(KfRaiseIrql(KeGetCurrentIrql() > DISPATCH_LEVEL ? KeGetCurrentIrql() : DISPATCH_LEVEL)) {
  KiLockDispatcherAtDispatch();
}
DispatcherGuard::~DispatcherGuard() {
  KiExitDispatcher(old_irql_);
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

VOID KiReadyThread(PKTHREAD thread) {
  thread->ReadyTime = KiTickCount();
  const KAFFINITY allowed = thread->Affinity & KeActiveProcessors;
  const bool front = thread->Preempted != 0;
  thread->Preempted = 0;
  const KAFFINITY idle = KiIdleSummary & allowed;
  if (idle != 0) {
    // This processor first if it is idle (a DPC woke the thread), then where the thread ran, then any.
    const KAFFINITY here = KeGetCurrentPrcb()->SetMember;
    const KAFFINITY last = 1ull << thread->NextProcessor;
    PKPRCB target = FirstProcessorOf((idle & here) ? here : (idle & last) ? last : idle);
    MakeStandby(thread, target);
    return;
  }
  PKPRCB victim = FindVictim(thread, allowed);
  if (victim != nullptr) {
    PKTHREAD displaced = victim->NextThread;
    MakeStandby(thread, victim);
    if (displaced != nullptr) {  // it may run where the new one may not
      displaced->Preempted = 1;
      KiReadyThread(displaced);
    }
    return;
  }
  const KAFFINITY home = 1ull << thread->NextProcessor;
  QueueReady(thread, FirstProcessorOf((allowed & home) ? home : allowed), front);
}

VOID KiRemoveReadyThread(PKTHREAD thread) {
  PKPRCB owner = KiProcessorBlock[thread->NextProcessor];
  Take({thread, owner, thread->Priority}, nullptr);
}

LONG_PTR KiSwapThread(PKTHREAD old, PKPRCB prcb) {
  PKTHREAD next = SelectNextThread(prcb);
  ChargeCycles(old, prcb);
  if (next != old) {
    old->Running = FALSE;
    prcb->CurrentThread = next;
    StartRunning(next, prcb);
    const ULONG64 table = next->ApcState.Process->DirectoryTableBase;
    if (table != old->ApcState.Process->DirectoryTableBase) arch::WriteCr3(table);
    KiSwapContext(&old->KernelStack, next->KernelStack);
    prcb = KeGetCurrentPrcb();
    FinishSwitch(prcb);
  } else {
    StartRunning(old, prcb);
  }
  const LONG_PTR status = old->WaitStatus;
  const bool apc = KiApcDeliverable(old);
  if (prcb->NextThread != nullptr) KiRequestDispatchInterrupt(prcb);
  KiUnlockDispatcherFromDispatch();
  if (apc) hal::SendSelfIpi(hal::kApcVector);
  return status;
}

VOID KiFinishThreadStart() {
  PKPRCB prcb = KeGetCurrentPrcb();
  FinishSwitch(prcb);
  const bool apc = KiApcDeliverable(prcb->CurrentThread);
  if (prcb->NextThread != nullptr) KiRequestDispatchInterrupt(prcb);
  KiUnlockDispatcherFromDispatch();
  if (apc) hal::SendSelfIpi(hal::kApcVector);
  KeLowerIrql(PASSIVE_LEVEL);
}

// Leaves the current thread for prcb->NextThread. Lock held, released on return.
static KI_NOINLINE VOID KiPreempt(PKPRCB prcb) {
  PKTHREAD thread = prcb->CurrentThread;
  if (thread != prcb->IdleThread) {
    thread->Preempted = hal::PerformanceNow() < thread->QuantumTarget;
    KiReadyThread(thread);
  }
  KiSwapThread(thread, prcb);
}

VOID KiExitDispatcher(KIRQL old_irql) {
  PKPRCB prcb = KeGetCurrentPrcb();
  if (prcb->NextThread == nullptr) {
    KiUnlockDispatcherFromDispatch();
  } else if (old_irql < DISPATCH_LEVEL) {
    prcb->CurrentThread->WaitIrql = old_irql;
    KiPreempt(prcb);
  } else {
    KiRequestDispatchInterrupt(prcb);
    KiUnlockDispatcherFromDispatch();
  }
  KeLowerIrql(old_irql);
}

// At DISPATCH_LEVEL in the dispatch interrupt, DPCs done.
VOID KiDispatchInterrupt() {
  PKPRCB prcb = KeGetCurrentPrcb();
  const bool misplaced = (prcb->CurrentThread->Affinity & prcb->SetMember) == 0;
  if (!prcb->QuantumEnd && prcb->NextThread == nullptr && !misplaced) return;
  KiLockDispatcherAtDispatch();
  if (prcb->QuantumEnd) QuantumEnd(prcb);
  if (prcb->NextThread != nullptr || misplaced) {
    KiPreempt(prcb);
  } else {
    KiUnlockDispatcherFromDispatch();
  }
}

VOID KiBoostPriority(PKTHREAD thread, KPRIORITY increment) {
  if (thread->Priority >= kLowRealtime || increment <= 0) return;
  int boosted = thread->BasePriority + increment;
  if (boosted >= kLowRealtime) boosted = kLowRealtime - 1;
  if (boosted > thread->Priority) thread->Priority = static_cast<SCHAR>(boosted);
}

// Lock held. A queued thread moves; a running one that lost its place is preempted at the next dispatch
// interrupt.
VOID KiSetPriority(PKTHREAD thread, KPRIORITY priority) {
  if (thread->State == Ready || thread->State == Standby) {
    KiRemoveReadyThread(thread);
    thread->Priority = static_cast<SCHAR>(priority);
    KiReadyThread(thread);
    return;
  }
  const bool lowered = priority < thread->Priority;
  thread->Priority = static_cast<SCHAR>(priority);
  if (thread->State != Running || !lowered) return;
  PKPRCB prcb = KiProcessorBlock[thread->NextProcessor];
  if (prcb->NextThread != nullptr) return;
  const Candidate best = FindBest(prcb, priority + 1);
  if (best.thread == nullptr) return;
  Take(best, prcb);
  MakeStandby(best.thread, prcb);
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
  DispatcherGuard guard;
  PKTHREAD list = reaper_list;
  reaper_list = nullptr;
  return list;
}

VOID KiInitializeScheduler() {
  KeInitializeEvent(&reaper_event, SynchronizationEvent, FALSE);
}

}  // extern "C"
