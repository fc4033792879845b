// Priorities, affinity and APCs as a driver sees them. What must happen at once is tested on one processor,
// where "at once" is an order. Oracle: the WDK pages of the routines; not yet run on a real NT.
#include "nt_test.h"
#include "threads.h"

using nt_test::Milliseconds;
using nt_test::Sleep;
using nt_test::Thread;

// Exported by Windows, in no header.
extern "C" {
NTSYSAPI VOID NTAPI KeInitializeApc(PRKAPC, PRKTHREAD, ULONG, PKKERNEL_ROUTINE, PKRUNDOWN_ROUTINE,
                                    PKNORMAL_ROUTINE, KPROCESSOR_MODE, PVOID);
NTSYSAPI BOOLEAN NTAPI KeInsertQueueApc(PRKAPC, PVOID, PVOID, KPRIORITY);
NTSYSAPI KAFFINITY NTAPI KeSetAffinityThread(PKTHREAD Thread, KAFFINITY Affinity);
NTSYSAPI KPRIORITY NTAPI KeSetActualBasePriorityThread(PKTHREAD Thread, KPRIORITY Priority);
NTSYSAPI BOOLEAN NTAPI KeIsWaitListEmpty(PVOID Object);
NTSYSAPI VOID NTAPI KeSetEventBoostPriority(PRKEVENT Event, PKTHREAD* Thread);
}

namespace {

// The test's thread on one processor, at a priority.
class OnProcessor {
 public:
  OnProcessor(ULONG number, KPRIORITY priority)
      : affinity_(KeSetSystemAffinityThreadEx(KAFFINITY{1} << number)),
        priority_(KeSetPriorityThread(KeGetCurrentThread(), priority)) {}
  ~OnProcessor() {
    KeSetPriorityThread(KeGetCurrentThread(), priority_);
    KeRevertToUserAffinityThreadEx(affinity_);
  }

 private:
  KAFFINITY affinity_;
  KPRIORITY priority_;
};

ULONG LastProcessor() {
  return KeQueryActiveProcessorCount(nullptr) - 1;
}

// Waits for its event on one processor, at a priority, and notes when it came by.
struct Runner {
  ULONG processor;
  KPRIORITY priority;
  volatile LONG* order;
  KEVENT ready, go;
  volatile LONG place;

  void Prepare(ULONG number, KPRIORITY value, volatile LONG* counter) {
    processor = number;
    priority = value;
    order = counter;
    place = 0;
    KeInitializeEvent(&ready, NotificationEvent, FALSE);
    KeInitializeEvent(&go, SynchronizationEvent, FALSE);
  }
  void AwaitReady() {
    KeWaitForSingleObject(&ready, Executive, KernelMode, FALSE, nullptr);
    while (KeIsWaitListEmpty(&go)) Sleep(1);
  }
  static VOID NTAPI Run(PVOID context) {
    auto* self = static_cast<Runner*>(context);
    KeSetSystemAffinityThreadEx(KAFFINITY{1} << self->processor);
    KeSetPriorityThread(KeGetCurrentThread(), self->priority);
    KeSetEvent(&self->ready, 0, FALSE);
    KeWaitForSingleObject(&self->go, Executive, KernelMode, FALSE, nullptr);
    self->place = InterlockedIncrement(self->order);
  }
};

PKTHREAD KernelThread(const Thread& thread) {
  return reinterpret_cast<PKTHREAD>(thread.object());
}

// One that has come to its wait.
struct ReadyRunner {
  volatile LONG order = 0;
  Runner runner;
  Thread thread;

  ReadyRunner(ULONG processor, KPRIORITY priority) : thread(Start(processor, priority)) {
    runner.AwaitReady();
  }

 private:
  Thread Start(ULONG processor, KPRIORITY priority) {
    runner.Prepare(processor, priority, &order);
    return Thread(Runner::Run, &runner);
  }
};

struct Spinner {
  volatile LONG stop = 0;
  volatile LONG64 seen = 0;
  static VOID NTAPI Run(PVOID context) {
    auto* self = static_cast<Spinner*>(context);
    while (self->stop == 0) InterlockedOr64(&self->seen, 1ll << KeGetCurrentProcessorNumberEx(nullptr));
  }
};

}  // namespace

NT_TEST(KeThread, HigherOnesRunFirst) {
  volatile LONG order = 0;
  Runner runners[3];
  const KPRIORITY priorities[] = {9, 11, 10};
  for (int i = 0; i < 3; ++i) runners[i].Prepare(LastProcessor(), priorities[i], &order);
  Thread first(Runner::Run, &runners[0]), second(Runner::Run, &runners[1]), third(Runner::Run, &runners[2]);
  for (Runner& runner : runners) runner.AwaitReady();
  {
    OnProcessor here(LastProcessor(), 14);
    for (Runner& runner : runners) KeSetEvent(&runner.go, 0, FALSE);
    NT_EXPECT_EQ(order, 0);  // none of them beats this thread
  }
  first.Join(), second.Join(), third.Join();
  NT_EXPECT_EQ(runners[1].place, 1);
  NT_EXPECT_EQ(runners[2].place, 2);
  NT_EXPECT_EQ(runners[0].place, 3);
}

NT_TEST(KeThread, AHigherOnePreemptsAtOnce) {
  ReadyRunner ready(LastProcessor(), 13);
  {
    OnProcessor here(LastProcessor(), 9);
    KeSetEvent(&ready.runner.go, 0, FALSE);
    NT_EXPECT_EQ(ready.order, 1);  // it has run by now
  }
}

NT_TEST(KeThread, LoweringOneselfGivesWayAtOnce) {
  ReadyRunner ready(LastProcessor(), 12);
  {
    OnProcessor here(LastProcessor(), 14);
    KeSetEvent(&ready.runner.go, 0, FALSE);
    NT_EXPECT_EQ(ready.order, 0);
    KeSetPriorityThread(KeGetCurrentThread(), 10);
    NT_EXPECT_EQ(ready.order, 1);
  }
}

NT_TEST(KeThread, RaisingAReadyOneLetsItRun) {
  ReadyRunner ready(LastProcessor(), 9);
  {
    OnProcessor here(LastProcessor(), 12);
    KeSetEvent(&ready.runner.go, 0, FALSE);
    NT_EXPECT_EQ(ready.order, 0);
    NT_EXPECT_EQ(KeSetPriorityThread(KernelThread(ready.thread), 13), 9);
    NT_EXPECT_EQ(ready.order, 1);
  }
}

NT_TEST(KeThread, AnEqualOneRunsAfterAYield) {
  ReadyRunner ready(LastProcessor(), 12);
  {
    OnProcessor here(LastProcessor(), 12);
    KeSetEvent(&ready.runner.go, 0, FALSE);
    while (ready.order == 0) ZwYieldExecution();
    NT_EXPECT_EQ(ready.runner.place, 1);
  }
}

NT_TEST(KeThread, AWakeUpBoostsAndTheBoostDecays) {
  ReadyRunner ready(LastProcessor(), 9);
  OnProcessor here(LastProcessor(), 20);
  KIRQL irql;
  KeRaiseIrql(DISPATCH_LEVEL, &irql);
  KeSetEvent(&ready.runner.go, 3, FALSE);
  const KPRIORITY boosted = KeQueryPriorityThread(KernelThread(ready.thread));
  KeLowerIrql(irql);
  NT_EXPECT_EQ(boosted, 12);
  NT_EXPECT_EQ(KeSetActualBasePriorityThread(KernelThread(ready.thread), 9), 9);
}

NT_TEST(KeThread, QuantumsEndWearsABoostDown) {
  Spinner spinner;
  KEVENT go;
  KeInitializeEvent(&go, SynchronizationEvent, FALSE);
  struct Both {
    Spinner* spinner;
    PKEVENT go;
  } both = {&spinner, &go};
  Thread thread(
      [](PVOID context) {
        auto* both = static_cast<Both*>(context);
        KeSetPriorityThread(KeGetCurrentThread(), 8);
        KeWaitForSingleObject(both->go, Executive, KernelMode, FALSE, nullptr);
        Spinner::Run(both->spinner);
      },
      &both);
  while (KeIsWaitListEmpty(&go)) Sleep(1);
  const KPRIORITY before = KeSetPriorityThread(KeGetCurrentThread(), 20);
  KeSetEvent(&go, 4, FALSE);
  while (KeQueryPriorityThread(KernelThread(thread)) > 8) Sleep(5);  // ends, or the test does not
  NT_EXPECT_EQ(KeQueryPriorityThread(KernelThread(thread)), 8);
  spinner.stop = 1;
  thread.Join();
  KeSetPriorityThread(KeGetCurrentThread(), before);
}

NT_TEST(KeThread, BasePriorityIsRelativeToTheProcess) {
  PKTHREAD self = KeGetCurrentThread();
  const KPRIORITY before = KeQueryPriorityThread(self);
  const LONG increment = KeSetBasePriorityThread(self, 2);
  const KPRIORITY raised = KeQueryPriorityThread(self);
  NT_EXPECT_EQ(KeSetBasePriorityThread(self, -1), 2);
  NT_EXPECT_EQ(KeQueryPriorityThread(self), raised - 3);
  KeSetBasePriorityThread(self, increment);
  KeSetPriorityThread(self, before);
}

NT_TEST(KeThread, AnotherThreadsAffinityIsObeyed) {
  const ULONG count = KeQueryActiveProcessorCount(nullptr);
  Spinner spinner;
  Thread thread(Spinner::Run, &spinner);
  for (ULONG i = 0; i < count; ++i) {
    KeSetAffinityThread(KernelThread(thread), KAFFINITY{1} << i);
    while ((InterlockedAnd64(&spinner.seen, 0) & (1ll << i)) == 0) Sleep(1);  // it came
    Sleep(1);
    InterlockedAnd64(&spinner.seen, 0);
    Sleep(5);
    NT_EXPECT_TRUE((spinner.seen & ~(1ll << i)) == 0);  // and runs nowhere else
  }
  spinner.stop = 1;
}

NT_TEST(KeThread, AReadyThreadFollowsItsAffinity) {
  if (KeQueryActiveProcessorCount(nullptr) < 2) return;
  ReadyRunner ready(LastProcessor(), 9);
  OnProcessor here(LastProcessor(), 14);
  KeSetEvent(&ready.runner.go, 0, FALSE);
  NT_EXPECT_EQ(ready.order, 0);  // ready behind this thread
  KeSetAffinityThread(KernelThread(ready.thread), 1);
  while (ready.order == 0) YieldProcessor();  // runs on processor 0 while this one is kept
  NT_EXPECT_EQ(ready.runner.place, 1);
}

NT_TEST(KeThread, AReadyThreadTakesAProcessorThatItsAffinityGains) {
  if (KeQueryActiveProcessorCount(nullptr) < 2) return;
  ReadyRunner ready(LastProcessor(), 9);
  OnProcessor here(LastProcessor(), 14);
  KeSetEvent(&ready.runner.go, 0, FALSE);
  NT_EXPECT_EQ(ready.order, 0);
  KeSetAffinityThread(KernelThread(ready.thread), 1 | KAFFINITY{1} << LastProcessor());
  while (ready.order == 0) YieldProcessor();
  NT_EXPECT_EQ(ready.runner.place, 1);
}

namespace {

// Keeps a processor at DISPATCH_LEVEL.
struct Holder {
  ULONG processor;
  volatile LONG holds = 0, stop = 0;
  static VOID NTAPI Run(PVOID context) {
    auto* self = static_cast<Holder*>(context);
    KeSetSystemAffinityThreadEx(KAFFINITY{1} << self->processor);
    KIRQL irql;
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    self->holds = 1;
    while (self->stop == 0) YieldProcessor();
    KeLowerIrql(irql);
  }
};

}  // namespace

namespace {

// A DPC that gives its own processor to a thread, which then may run on others too, and goes on until the
// thread has run.
struct Unending {
  KDPC dpc;
  Runner* runner;
  PKTHREAD thread;
  volatile LONG saw_it_run = 0;
  static VOID NTAPI Run(PKDPC, PVOID context, PVOID, PVOID) {
    auto* self = static_cast<Unending*>(context);
    KeStallExecutionProcessor(2'000);  // the others become idle
    KeSetEvent(&self->runner->go, 0, FALSE);
    KeSetAffinityThread(self->thread, KeQueryActiveProcessors());
    while (*self->runner->order == 0) YieldProcessor();  // or the DPC watchdog ends it
    self->saw_it_run = 1;
  }
};

}  // namespace

NT_TEST(KeThread, AnIdleProcessorTakesWhatABusyOneWasGiven) {
  if (KeQueryActiveProcessorCount(nullptr) < 2) return;
  ReadyRunner ready(LastProcessor(), 9);
  Unending unending;
  unending.runner = &ready.runner;
  unending.thread = KernelThread(ready.thread);
  KeInitializeDpc(&unending.dpc, Unending::Run, &unending);
  KeSetImportanceDpc(&unending.dpc, HighImportance);
  KeSetTargetProcessorDpc(&unending.dpc, static_cast<CCHAR>(LastProcessor()));
  const KAFFINITY before = KeSetSystemAffinityThreadEx(1);
  KeInsertQueueDpc(&unending.dpc, nullptr, nullptr);
  ready.thread.Join();
  KeRevertToUserAffinityThreadEx(before);
  KeFlushQueuedDpcs();
  NT_EXPECT_EQ(unending.saw_it_run, 1);
}

// The woken thread has got processor 0 and waits for that to come below DISPATCH_LEVEL. To yield to it here
// would only send this thread there.
NT_TEST(KeThread, AYieldLeavesAloneWhatIsAboutToRunElsewhere) {
  if (KeQueryActiveProcessorCount(nullptr) < 2) return;
  ReadyRunner ready(LastProcessor(), 30);
  OnProcessor here(LastProcessor(), 30);
  KeSetAffinityThread(KernelThread(ready.thread), 1 | KAFFINITY{1} << LastProcessor());
  Holder holder;
  holder.processor = 0;
  Thread held(Holder::Run, &holder);
  while (holder.holds == 0) YieldProcessor();
  KeSetEvent(&ready.runner.go, 0, FALSE);
  const NTSTATUS status = ZwYieldExecution();
  const LONG ran = ready.order;
  holder.stop = 1;
  NT_EXPECT_EQ(status, STATUS_NO_YIELD_PERFORMED);
  NT_EXPECT_EQ(ran, 0);
  while (ready.order == 0) YieldProcessor();  // there, as this thread does not give way
}

NT_TEST(KeThread, StackSwapIsTold) {
  NT_EXPECT_TRUE(KeSetKernelStackSwapEnable(FALSE));
  NT_EXPECT_TRUE(!KeSetKernelStackSwapEnable(TRUE));
}

NT_TEST(KeProcessor, AffinityMasksNest) {
  const ULONG last = LastProcessor();
  const KAFFINITY outer = KeSetSystemAffinityThreadEx(KAFFINITY{1} << last);
  const KAFFINITY inner = KeSetSystemAffinityThreadEx(1);
  NT_EXPECT_EQ(KeGetCurrentProcessorNumberEx(nullptr), 0);
  KeRevertToUserAffinityThreadEx(inner);
  NT_EXPECT_EQ(KeGetCurrentProcessorNumberEx(nullptr), last);
  KeRevertToUserAffinityThreadEx(outer);
  if (last != 0) {
    NT_EXPECT_EQ(inner, KAFFINITY{1} << last);
    NT_EXPECT_EQ(outer, 0);
  }
}

NT_TEST(KeProcessor, IdealProcessorIsKept) {
  PKTHREAD self = KeGetCurrentThread();
  const UCHAR before = KeSetIdealProcessorThread(self, 0);
  NT_EXPECT_EQ(KeSetIdealProcessorThread(self, before), 0);
}

namespace {

struct ApcLog {
  volatile LONG count = 0;
  char kinds[8] = {};
  KIRQL irqls[8] = {};
  void Add(char kind) {
    const LONG at = InterlockedIncrement(&count) - 1;
    if (at < 8) kinds[at] = kind, irqls[at] = KeGetCurrentIrql();
  }
};
struct LoggedApc {
  KAPC apc;
  ApcLog* log;
  char kind;
};

VOID NTAPI LogKernel(PKAPC apc, PKNORMAL_ROUTINE*, PVOID*, PVOID*, PVOID*) {
  auto* self = CONTAINING_RECORD(apc, LoggedApc, apc);
  self->log->Add(self->kind);
}
VOID NTAPI LogNormal(PVOID context, PVOID, PVOID) {
  static_cast<ApcLog*>(context)->Add('N');
}
VOID NTAPI LogRundown(PKAPC apc) {
  CONTAINING_RECORD(apc, LoggedApc, apc)->log->Add('R');
}
void Prepare(LoggedApc* apc, ApcLog* log, char kind, PKTHREAD thread, bool special, KPROCESSOR_MODE mode) {
  apc->log = log;
  apc->kind = kind;
  KeInitializeApc(&apc->apc, thread, 0, LogKernel, LogRundown, special ? nullptr : LogNormal, mode, log);
}

struct UserApcTarget {
  KEVENT never, may_end;
  volatile NTSTATUS status = STATUS_PENDING;
  KPROCESSOR_MODE mode = UserMode;
  static VOID NTAPI Run(PVOID context) {
    auto* self = static_cast<UserApcTarget*>(context);
    self->status = KeWaitForSingleObject(&self->never, UserRequest, self->mode, TRUE, nullptr);
    KeWaitForSingleObject(&self->may_end, Executive, KernelMode, FALSE, nullptr);
  }
};

}  // namespace

NT_TEST(KeApc, SpecialOnesOvertakeNormalOnes) {
  ApcLog log;
  LoggedApc normal, special;
  Prepare(&normal, &log, 'n', KeGetCurrentThread(), false, KernelMode);
  Prepare(&special, &log, 's', KeGetCurrentThread(), true, KernelMode);
  KeEnterGuardedRegion();
  NT_EXPECT_TRUE(KeInsertQueueApc(&normal.apc, nullptr, nullptr, 0));
  NT_EXPECT_TRUE(!KeInsertQueueApc(&normal.apc, nullptr, nullptr, 0));
  NT_EXPECT_TRUE(KeInsertQueueApc(&special.apc, nullptr, nullptr, 0));
  NT_EXPECT_EQ(log.count, 0);
  KeLeaveGuardedRegion();
  NT_EXPECT_EQ(log.count, 3);
  NT_EXPECT_TRUE(log.kinds[0] == 's' && log.kinds[1] == 'n' && log.kinds[2] == 'N');
  NT_EXPECT_TRUE(log.irqls[0] == APC_LEVEL && log.irqls[1] == APC_LEVEL && log.irqls[2] == PASSIVE_LEVEL);
}

NT_TEST(KeApc, ACriticalRegionLetsSpecialOnesIn) {
  ApcLog log;
  LoggedApc normal, special;
  Prepare(&normal, &log, 'n', KeGetCurrentThread(), false, KernelMode);
  Prepare(&special, &log, 's', KeGetCurrentThread(), true, KernelMode);
  KeEnterCriticalRegion();
  KeInsertQueueApc(&normal.apc, nullptr, nullptr, 0);
  KeInsertQueueApc(&special.apc, nullptr, nullptr, 0);
  NT_EXPECT_EQ(log.count, 1);
  KeLeaveCriticalRegion();
  NT_EXPECT_EQ(log.count, 3);
}

NT_TEST(KeApc, RaisedIrqlHoldsThemBackUntilItIsLowered) {
  ApcLog log;
  LoggedApc special;
  Prepare(&special, &log, 's', KeGetCurrentThread(), true, KernelMode);
  KIRQL irql;
  KeRaiseIrql(APC_LEVEL, &irql);
  KeInsertQueueApc(&special.apc, nullptr, nullptr, 0);
  const LONG at_apc_level = log.count;
  KeLowerIrql(irql);
  NT_EXPECT_EQ(at_apc_level, 0);
  NT_EXPECT_EQ(log.count, 1);
}

NT_TEST(KeApc, AWaitGoesOnAfterAKernelApc) {
  ApcLog log;
  UserApcTarget target;
  target.mode = KernelMode;
  KeInitializeEvent(&target.never, NotificationEvent, FALSE);
  KeInitializeEvent(&target.may_end, NotificationEvent, TRUE);
  Thread thread(UserApcTarget::Run, &target);
  LoggedApc apc;
  Prepare(&apc, &log, 'n', KernelThread(thread), false, KernelMode);
  while (KeIsWaitListEmpty(&target.never)) Sleep(1);
  KeInsertQueueApc(&apc.apc, nullptr, nullptr, 0);
  while (log.count < 2) Sleep(1);
  while (KeIsWaitListEmpty(&target.never)) Sleep(1);  // it waits again
  NT_EXPECT_EQ(target.status, STATUS_PENDING);
  KeSetEvent(&target.never, 0, FALSE);
  thread.Join();
  NT_EXPECT_EQ(target.status, STATUS_WAIT_0);
}

NT_TEST(KeApc, AUserApcEndsAnAlertableWaitAndIsRunDownAtTheEnd) {
  ApcLog log;
  UserApcTarget target;
  KeInitializeEvent(&target.never, NotificationEvent, FALSE);
  KeInitializeEvent(&target.may_end, NotificationEvent, FALSE);
  Thread thread(UserApcTarget::Run, &target);
  LoggedApc apc;
  Prepare(&apc, &log, 'u', KernelThread(thread), false, UserMode);
  while (KeIsWaitListEmpty(&target.never)) Sleep(1);
  NT_EXPECT_TRUE(KeInsertQueueApc(&apc.apc, nullptr, nullptr, 0));
  while (target.status == STATUS_PENDING) Sleep(1);
  NT_EXPECT_EQ(target.status, STATUS_USER_APC);
  NT_EXPECT_EQ(log.count, 0);
  KeSetEvent(&target.may_end, 0, FALSE);
  thread.Join();
  NT_EXPECT_EQ(log.count, 1);
  NT_EXPECT_EQ(log.kinds[0], 'R');
  NT_EXPECT_TRUE(!KeInsertQueueApc(&apc.apc, nullptr, nullptr, 0));  // the thread has ended
}
