// Who runs where. Every processor has its ready queues under its own lock, and any processor may take from
// any of them. The rule: no runnable thread waits while a processor that it may use runs one of lower
// priority, or nothing. Both sides look after they have published: who queues a thread looks at the
// processors again, who lowers a processor's priority looks at the queues again, so one of two that cross
// sees the other.
#include "ke_internal.h"

#include "ktl/ready_queue.h"

extern "C" volatile KAFFINITY KiIdleSummary = 0;

namespace {

using Queues = ktl::ReadyQueues<LIST_ENTRY>;
Queues QueuesOf(PKPRCB prcb) {
  return {prcb->DispatcherReadyListHead, reinterpret_cast<uint32_t*>(&prcb->ReadySummary)};
}
PKTHREAD ThreadOf(LIST_ENTRY* link) {
  return CONTAINING_RECORD(link, KTHREAD, WaitListEntry);
}
PKPRCB FirstProcessorOf(KAFFINITY set) {
  return KiProcessorBlock[__builtin_ctzll(set)];
}
KAFFINITY IdleProcessors() {
  return __atomic_load_n(&KiIdleSummary, __ATOMIC_SEQ_CST);
}

// What the others see of a processor; its lock is held. A standby thread that no longer beats what runs goes
// elsewhere.
void Publish(PKPRCB prcb) {
  if (prcb->NextThread != nullptr && prcb->NextThread->Priority <= prcb->CurrentPriority) {
    prcb->NextThread->Preempted = TRUE;
    KiDeferReady(prcb->NextThread);
    prcb->NextThread = nullptr;
  }
  const int ready = prcb->ReadySummary != 0 ? 31 - __builtin_clz(prcb->ReadySummary) : -1;
  const int standby = prcb->NextThread != nullptr ? prcb->NextThread->Priority : -1;
  prcb->RunPriority = static_cast<SCHAR>(prcb->NextThread != nullptr ? standby : prcb->CurrentPriority);
  prcb->ReadyHint = static_cast<SCHAR>(ready > standby ? ready : standby);
  const bool idle = prcb->SelectedThread == prcb->IdleThread && prcb->NextThread == nullptr;
  if (idle != ((KiIdleSummary & prcb->SetMember) != 0)) {
    __atomic_fetch_xor(&KiIdleSummary, prcb->SetMember, __ATOMIC_SEQ_CST);
  }
}

// What a processor looks for. A standby thread may be taken too, since its processor has not come round to
// it, but only where that is a gain: to take it in exchange for an equal that runs would leave that one
// waiting and the standby's processor with what it runs now.
struct Wanted {
  int minimum;          // of a ready thread's priority
  int standby_minimum;  // of a standby thread's
  // Only of processors that have been at DISPATCH_LEVEL for a whole tick, by one that has not: the taker does
  // not run the thread at once, and two that cannot run it yet would lose it to each other for ever.
  bool of_stuck_only;
};

// Takes one of `owner`'s threads that `taker` may run, of at least `minimum`; it is in hand then.
PKTHREAD TakeFrom(PKPRCB owner, PKPRCB taker, int minimum, const Wanted& wanted) {
  const KAFFINITY member = taker->SetMember;
  KiAcquirePrcbLock(owner);
  PKTHREAD taken = nullptr;
  PKTHREAD standby = owner->NextThread;
  const bool open = !wanted.of_stuck_only || (owner->PendingTickFlags != 0 && taker->PendingTickFlags == 0);
  if (open && standby != nullptr && standby->Priority >= minimum &&
      standby->Priority >= wanted.standby_minimum && (standby->Affinity & member) != 0) {
    taken = standby;
    minimum = standby->Priority + 1;
  }
  int priority = 0;
  LIST_ENTRY* link = nullptr;
  if (minimum < ktl::kPriorities) {
    const auto accept = [member](LIST_ENTRY* entry) { return (ThreadOf(entry)->Affinity & member) != 0; };
    link = QueuesOf(owner).Find(minimum, accept, &priority);
  }
  if (link != nullptr) {
    QueuesOf(owner).Remove(link, priority);
    taken = ThreadOf(link);
  } else if (taken != nullptr) {
    owner->NextThread = nullptr;
    if (owner != taker) KeGetCurrentPrcb()->RefillSet |= owner->SetMember;
  }
  if (taken != nullptr) {
    taken->State = Standby;
    taken->NextProcessor = taker->Number;
    Publish(owner);
  }
  KiReleasePrcbLock(owner);
  return taken;
}

// The best thread of all queues for `prcb`, in hand.
PKTHREAD TakeBest(PKPRCB prcb, const Wanted& wanted) {
  PKTHREAD best = nullptr;
  int minimum = wanted.minimum;
  KAFFINITY left = KeActiveProcessors;
  while (minimum < ktl::kPriorities) {
    PKPRCB owner = nullptr;
    int hint = minimum - 1;
    for (KAFFINITY set = left; set != 0; set &= set - 1) {
      PKPRCB other = FirstProcessorOf(set);
      const int offered = other->ReadyHint;
      if (offered > hint || (offered == hint && owner != nullptr && other == prcb))
        owner = other, hint = offered;
    }
    if (owner == nullptr) break;
    left &= ~owner->SetMember;
    PKTHREAD thread = TakeFrom(owner, prcb, minimum, wanted);
    if (thread == nullptr) continue;
    if (best != nullptr) KiDeferReady(best);
    best = thread;
    minimum = thread->Priority + 1;
  }
  return best;
}

// Interrupts the processors that got a standby thread: with no lock held, for where the host has fewer
// processors than the machine the woken one may take this one's place and then spin for that lock.
void InterruptWoken(PKPRCB self) {
  KAFFINITY woken = self->WakeSet;
  self->WakeSet = 0;
  for (; woken != 0; woken &= woken - 1) KiRequestDispatchInterrupt(FirstProcessorOf(woken));
}

// Standby on `prcb` if that is a gain for it.
bool MakeStandby(PKTHREAD thread, PKPRCB prcb) {
  KiAcquirePrcbLock(prcb);
  if (prcb->RunPriority >= thread->Priority) {
    KiReleasePrcbLock(prcb);
    return false;
  }
  PKTHREAD displaced = prcb->NextThread;
  prcb->NextThread = thread;
  thread->State = Standby;
  thread->NextProcessor = prcb->Number;
  Publish(prcb);
  KiReleasePrcbLock(prcb);
  if (prcb != KeGetCurrentPrcb()) KeGetCurrentPrcb()->WakeSet |= prcb->SetMember;
  if (displaced != nullptr) {
    displaced->Preempted = TRUE;
    KiDeferReady(displaced);
  }
  return true;
}

// The processor lost its standby thread to another, or what it runs became less urgent: the best that waits
// may beat that. The fence: its lower priority is published before the queues are looked at (Place does the
// reverse).
void Refill(PKPRCB prcb) {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  const int minimum = prcb->RunPriority + 1;
  PKTHREAD thread = TakeBest(prcb, {minimum, minimum, true});
  if (thread != nullptr && !MakeStandby(thread, prcb)) KiDeferReady(thread);
}

// It has DPCs to run, or has been at DISPATCH_LEVEL for a whole tick.
bool ComesLate(PKPRCB prcb) {
  return prcb->PendingTickFlags != 0 || prcb->DpcRoutineActive || prcb->DpcData[0].DpcQueueDepth != 0;
}

// Not one that comes late, unless all do.
PKPRCB ChooseIdle(PKTHREAD thread, KAFFINITY allowed) {
  KAFFINITY idle = IdleProcessors() & allowed;
  if (idle == 0) return nullptr;
  KAFFINITY quick = 0;
  for (KAFFINITY set = idle; set != 0; set &= set - 1) {
    if (!ComesLate(FirstProcessorOf(set))) quick |= set & (0 - set);
  }
  if (quick != 0) idle = quick;
  const KAFFINITY wishes[] = {1ull << thread->IdealProcessor, 1ull << thread->NextProcessor,
                              KeGetCurrentPrcb()->SetMember};
  for (KAFFINITY wish : wishes) {
    if ((idle & wish) != 0) return FirstProcessorOf(wish);
  }
  return FirstProcessorOf(idle);
}

// The processor whose work is the least: on a tie where the thread wants to be. 0: it preempts nobody.
PKPRCB FindVictim(PKTHREAD thread, KAFFINITY set) {
  PKPRCB best = nullptr;
  int best_cost = 1 << 30;
  for (; set != 0; set &= set - 1) {
    PKPRCB prcb = FirstProcessorOf(set);
    const int priority = prcb->RunPriority;
    if (priority >= thread->Priority) continue;
    int cost = priority * 2 + (ComesLate(prcb) ? 1000 : 0);
    if (prcb->Number != thread->IdealProcessor) ++cost;
    if (cost < best_cost) best = prcb, best_cost = cost;
  }
  return best;
}

void QueueReady(PKTHREAD thread, PKPRCB prcb, bool front) {
  KiAcquirePrcbLock(prcb);
  thread->State = Ready;
  thread->NextProcessor = prcb->Number;
  QueuesOf(prcb).Insert(&thread->WaitListEntry, thread->Priority, front);
  Publish(prcb);
  KiReleasePrcbLock(prcb);
}

// TRUE: it is in hand again.
bool TakeBack(PKTHREAD thread, PKPRCB prcb) {
  KiAcquirePrcbLock(prcb);
  const bool queued = thread->State == Ready && thread->NextProcessor == prcb->Number;
  if (queued) {
    QueuesOf(prcb).Remove(&thread->WaitListEntry, thread->Priority);
    thread->State = DeferredReady;
    Publish(prcb);
  }
  KiReleasePrcbLock(prcb);
  return queued;
}

void ApplyBoost(PKTHREAD thread) {
  const int increment = thread->AdjustIncrement;
  thread->AdjustIncrement = 0;
  if (thread->Priority >= kLowRealtime || increment <= 0) return;
  int boosted = thread->BasePriority + increment;
  if (boosted >= kLowRealtime) boosted = kLowRealtime - 1;
  if (boosted > thread->Priority) thread->Priority = static_cast<SCHAR>(boosted);
}

// An idle processor, else the lowest that runs, else a queue. The thread's lock is held: it cannot go away
// meanwhile.
void Place(PKTHREAD thread) {
  const bool front = thread->Preempted != 0;
  thread->Preempted = FALSE;  // once placed it may run, and be preempted again
  thread->ReadyTime = KiTickCount();
  ApplyBoost(thread);
  for (;;) {
    const KAFFINITY allowed = thread->Affinity & KeActiveProcessors;
    PKPRCB target = ChooseIdle(thread, allowed);
    if (target == nullptr) target = FindVictim(thread, allowed);
    if (target != nullptr) {
      if (MakeStandby(thread, target)) return;
      continue;
    }
    const KAFFINITY home = 1ull << thread->NextProcessor;
    PKPRCB queue = FirstProcessorOf((allowed & home) != 0 ? home : allowed);
    QueueReady(thread, queue, front);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (FindVictim(thread, allowed) == nullptr || !TakeBack(thread, queue)) return;
  }
}

}  // namespace

extern "C" {

VOID KiDeferReady(PKTHREAD thread) {
  thread->State = DeferredReady;
  InsertTailList(&KeGetCurrentPrcb()->DeferredReadyListHead, &thread->WaitListEntry);
}

VOID KiProcessDeferred(PKPRCB prcb) {
  for (;;) {
    if (!IsListEmpty(&prcb->DeferredReadyListHead)) {
      PKTHREAD thread = ThreadOf(RemoveHeadList(&prcb->DeferredReadyListHead));
      KiAcquireThreadLock(thread);
      Place(thread);
      KiReleaseThreadLock(thread);
      InterruptWoken(prcb);
    } else if (prcb->RefillSet != 0) {
      PKPRCB owner = FirstProcessorOf(prcb->RefillSet);
      prcb->RefillSet &= ~owner->SetMember;
      Refill(owner);
      InterruptWoken(prcb);
    } else {
      return;
    }
  }
}

PKTHREAD KiSelectThread(PKPRCB prcb, int minimum, bool idle) {
  PKTHREAD chosen = nullptr;
  for (bool leaves = idle;; leaves = false) {
    PKTHREAD better = TakeBest(prcb, {minimum, leaves ? minimum : prcb->CurrentPriority + 1, false});
    if (better == nullptr && (chosen != nullptr || !idle)) return chosen;
    if (better == nullptr && prcb->SelectedThread == prcb->IdleThread) return prcb->IdleThread;
    KiAcquirePrcbLock(prcb);
    prcb->SelectedThread = better != nullptr ? better : prcb->IdleThread;
    prcb->CurrentPriority = static_cast<SCHAR>(better != nullptr ? better->Priority : -1);
    if (better != nullptr) better->State = Running;
    Publish(prcb);
    KiReleasePrcbLock(prcb);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (chosen != nullptr) KiDeferReady(chosen);
    chosen = better;
    if (better != nullptr) minimum = better->Priority + 1;
  }
}

VOID KiUnselectThread(PKPRCB prcb, PKTHREAD next, PKTHREAD current) {
  KiAcquirePrcbLock(prcb);
  prcb->SelectedThread = current;
  prcb->CurrentPriority = static_cast<SCHAR>(current == prcb->IdleThread ? -1 : current->Priority);
  Publish(prcb);
  KiReleasePrcbLock(prcb);
  if (next != prcb->IdleThread) KiDeferReady(next);
}

// On its way from one place to the next a thread belongs to a processor that needs this lock for the next
// step: so it is let go in between.
PKPRCB KiLockSettledThread(PKTHREAD thread) {
  for (;;) {
    KiAcquireThreadLock(thread);
    const UCHAR state = thread->State;
    if (state != Ready && state != Standby && state != Running) return nullptr;
    PKPRCB prcb = KiProcessorBlock[thread->NextProcessor];
    KiAcquirePrcbLock(prcb);
    const bool here = thread->State == state && thread->NextProcessor == prcb->Number;
    if (here && (state == Ready || prcb->NextThread == thread || prcb->SelectedThread == thread)) return prcb;
    KiReleasePrcbLock(prcb);
    KiReleaseThreadLock(thread);
    arch::Pause();
  }
}

VOID KiUnlockSettledThread(PKTHREAD thread, PKPRCB prcb) {
  if (prcb != nullptr) {
    Publish(prcb);
    KiReleasePrcbLock(prcb);
  }
  KiReleaseThreadLock(thread);
}

VOID KiRemoveReady(PKTHREAD thread, PKPRCB prcb) {
  QueuesOf(prcb).Remove(&thread->WaitListEntry, thread->Priority);
}

VOID KiSetPriority(PKTHREAD thread, KPRIORITY priority, KPRIORITY base) {
  PKPRCB prcb = KiLockSettledThread(thread);
  const KPRIORITY old = thread->Priority;
  if (prcb != nullptr && thread->State == Ready) {
    KiRemoveReady(thread, prcb);
    KiDeferReady(thread);
  } else if (prcb != nullptr && prcb->NextThread == thread) {
    prcb->NextThread = nullptr;
    KeGetCurrentPrcb()->RefillSet |= prcb->SetMember;
    KiDeferReady(thread);
  } else if (prcb != nullptr) {
    prcb->CurrentPriority = static_cast<SCHAR>(priority);
    if (priority < old) KeGetCurrentPrcb()->RefillSet |= prcb->SetMember;
  }
  thread->Priority = static_cast<SCHAR>(priority);
  thread->BasePriority = static_cast<SCHAR>(base);
  KiUnlockSettledThread(thread, prcb);
}

VOID KiInitializeProcessorScheduling(PKPRCB prcb, PKTHREAD idle_thread) {
  InitializeListHead(&prcb->DeferredReadyListHead);
  prcb->SelectedThread = idle_thread;
  prcb->CurrentPriority = -1;
  prcb->RunPriority = -1;
  prcb->ReadyHint = -1;
}

VOID KiJoinScheduling(PKPRCB prcb) {
  KiProcessorBlock[prcb->Number] = prcb;
  KiAcquirePrcbLock(prcb);
  Publish(prcb);
  KiReleasePrcbLock(prcb);
  __atomic_fetch_or(&KeActiveProcessors, prcb->SetMember, __ATOMIC_SEQ_CST);
  __atomic_fetch_add(&KeNumberProcessors, 1, __ATOMIC_SEQ_CST);
  prcb->RefillSet |= prcb->SetMember;  // what was queued before others knew of this processor
  KiProcessDeferred(prcb);
  if (prcb->NextThread != nullptr) KiRequestDispatchInterrupt(prcb);
}

}  // extern "C"
