// The scheduler and APCs under pressure: who may run where, who goes first, and that no APC is lost.
#include "nt_stress.h"
#include "threads.h"

using nt_stress::Worker;
using nt_stress::Workers;

// Exported by Windows, in no header.
extern "C" {
NTSYSAPI VOID NTAPI KeInitializeApc(PRKAPC, PRKTHREAD, ULONG, PKKERNEL_ROUTINE, PKRUNDOWN_ROUTINE,
                                    PKNORMAL_ROUTINE, KPROCESSOR_MODE, PVOID);
NTSYSAPI BOOLEAN NTAPI KeInsertQueueApc(PRKAPC, PVOID, PVOID, KPRIORITY);
}

namespace {

constexpr ULONG kMost = 64;

// As many high threads as processors, and as many low ones. While every high thread runs no low one may. High
// is above every thread of the system, and above the priority that Windows lends to threads that starve.
constexpr KPRIORITY kHigh = 30, kLow = 6;
struct Levels {
  ULONG processors;
  KEVENT begin[kMost];
  volatile LONG64 low_count[kMost];
  volatile LONG arrived, settled, released, stop;
  volatile LONG64 rounds, violations;
  volatile LONG
      rotation;  // high thread i belongs to processor (i + rotation) % processors; negative: anywhere
};

LONG64 LowProgress(const Levels* levels) {
  LONG64 sum = 0;
  for (ULONG i = 0; i < levels->processors; ++i) sum += levels->low_count[i];
  return sum;
}

void RunLow(Levels* levels, ULONG index) {
  KeSetPriorityThread(KeGetCurrentThread(), kLow);
  while (!levels->stop) ++*const_cast<LONG64*>(&levels->low_count[index]);
}

// All high threads are here together, at DISPATCH_LEVEL, where none can lose its processor: so each has one.
// From then on no high thread is ready but does not run, as nothing else is as high, and all a low one could
// get is a processor that is taken from a high one. (Below DISPATCH_LEVEL one that came early may give way to
// an equal at the end of its quantum, and be on its way to another processor while the last one arrives.)
void Meet(Levels* levels, ULONG index, LONG round) {
  const LONG rotation = levels->rotation;
  KAFFINITY before = 0;
  if (rotation >= 0) {
    const ULONG processor = (index + static_cast<ULONG>(rotation)) % levels->processors;
    before = KeSetSystemAffinityThreadEx(KAFFINITY{1} << processor);
  }
  InterlockedIncrement(&levels->arrived);
  const LONG everybody = round * static_cast<LONG>(levels->processors);
  while (levels->arrived < everybody) YieldProcessor();
  KIRQL irql;
  KeRaiseIrql(DISPATCH_LEVEL, &irql);
  InterlockedIncrement(&levels->settled);
  while (levels->settled < everybody) YieldProcessor();
  KeLowerIrql(irql);
  if (index == 0) {
    const LONG64 start = LowProgress(levels);
    for (int i = 0; i < 20'000; ++i) YieldProcessor();
    if (LowProgress(levels) != start) InterlockedIncrement64(&levels->violations);
    ++*const_cast<LONG64*>(&levels->rounds);
    levels->released = round;
  }
  while (levels->released < round) YieldProcessor();
  if (rotation >= 0) KeRevertToUserAffinityThreadEx(before);
}

void LeadHigh(Worker& worker, Levels* levels) {
  LONG round = 0;
  while (StressGoesOn()) {
    nt_test::Sleep(1);  // the low ones run
    levels->rotation =
        worker.random.OneIn(2) ? -1 : static_cast<LONG>(worker.random.Below(levels->processors));
    for (ULONG i = 1; i < levels->processors; ++i) KeSetEvent(&levels->begin[i], 0, FALSE);
    Meet(levels, 0, ++round);
  }
  levels->stop = 1;
  for (ULONG i = 1; i < levels->processors; ++i) KeSetEvent(&levels->begin[i], 0, FALSE);
}

void HighAndLow(Worker& worker) {
  auto* levels = static_cast<Levels*>(worker.context);
  if (worker.index >= levels->processors) return RunLow(levels, worker.index - levels->processors);
  KeSetPriorityThread(KeGetCurrentThread(), kHigh);
  if (worker.index == 0) return LeadHigh(worker, levels);
  for (LONG round = 1;; ++round) {
    KeWaitForSingleObject(&levels->begin[worker.index], Executive, KernelMode, FALSE, nullptr);
    if (levels->stop) return;
    Meet(levels, worker.index, round);
  }
}

struct Places {
  KAFFINITY active;
  volatile LONG64 moves, misplaced;
};

void Wander(Worker& worker) {
  auto* places = static_cast<Places*>(worker.context);
  while (StressGoesOn()) {
    const KAFFINITY wanted = worker.random.Next() & places->active;
    if (wanted == 0) continue;
    KeSetSystemAffinityThreadEx(wanted);
    for (ULONG i = worker.random.Below(4); i > 0; --i) {
      KIRQL irql;
      KeRaiseIrql(DISPATCH_LEVEL, &irql);
      const KAFFINITY here = KAFFINITY{1} << KeGetCurrentProcessorNumberEx(nullptr);
      KeLowerIrql(irql);
      if ((here & wanted) == 0) InterlockedIncrement64(&places->misplaced);
      if (worker.random.OneIn(8)) nt_test::Sleep(1);
    }
    KeRevertToUserAffinityThreadEx(0);
    InterlockedIncrement64(&places->moves);
  }
}

struct CountedApc {
  KAPC apc;
  struct Apcs* apcs;
  volatile LONG busy;
};
struct Apcs {
  ULONG workers;
  PKTHREAD threads[kMost];
  CountedApc apcs[kMost][8];
  KEVENT never;
  volatile LONG ready, finished;
  volatile LONG64 inserted, delivered, normals, ran_down, refused;
};

VOID NTAPI CountKernel(PKAPC apc, PKNORMAL_ROUTINE* normal, PVOID*, PVOID*, PVOID*) {
  auto* counted = CONTAINING_RECORD(apc, CountedApc, apc);
  InterlockedIncrement64(&counted->apcs->delivered);
  if (*normal == nullptr) counted->busy = 0;
}
VOID NTAPI CountNormal(PVOID context, PVOID, PVOID) {
  auto* counted = static_cast<CountedApc*>(context);
  InterlockedIncrement64(&counted->apcs->normals);
  counted->busy = 0;
}
VOID NTAPI CountRundown(PKAPC apc) {
  auto* counted = CONTAINING_RECORD(apc, CountedApc, apc);
  InterlockedIncrement64(&counted->apcs->ran_down);
  counted->busy = 0;
}

void SendOne(Worker& worker, Apcs* apcs) {
  CountedApc& counted = apcs->apcs[worker.index][worker.random.Below(8)];
  if (InterlockedCompareExchange(&counted.busy, 1, 0) != 0) return;
  counted.apcs = apcs;
  KeInitializeApc(&counted.apc, apcs->threads[worker.random.Below(apcs->workers)], 0, CountKernel,
                  CountRundown, worker.random.OneIn(2) ? CountNormal : nullptr, KernelMode, &counted);
  if (KeInsertQueueApc(&counted.apc, nullptr, nullptr, 0)) {
    InterlockedIncrement64(&apcs->inserted);
  } else {
    InterlockedIncrement64(&apcs->refused);
    counted.busy = 0;
  }
}

void SendApcs(Worker& worker) {
  auto* apcs = static_cast<Apcs*>(worker.context);
  apcs->threads[worker.index] = KeGetCurrentThread();
  InterlockedIncrement(&apcs->ready);
  while (apcs->ready < static_cast<LONG>(apcs->workers)) nt_test::Sleep(1);
  while (StressGoesOn()) {
    SendOne(worker, apcs);
    LARGE_INTEGER moment;
    moment.QuadPart = -static_cast<LONGLONG>(worker.random.Below(2000));
    switch (worker.random.Below(6)) {
      case 0:
        KeWaitForSingleObject(&apcs->never, Executive, KernelMode, FALSE, &moment);
        break;
      case 1:
        KeEnterCriticalRegion();
        SendOne(worker, apcs);
        KeLeaveCriticalRegion();
        break;
      case 2:
        KeEnterGuardedRegion();
        SendOne(worker, apcs);
        KeLeaveGuardedRegion();
        break;
      default:
        break;
    }
  }
  InterlockedIncrement(&apcs->finished);
  while (apcs->finished < static_cast<LONG>(apcs->workers))
    nt_test::Sleep(1);  // nobody ends while others send
}

}  // namespace

NT_TEST(StressScheduling, NoLowerThreadRunsWhileAHigherOneIsReady) {
  static Levels levels;
  RtlZeroMemory(&levels, sizeof levels);
  levels.processors = nt_stress::Processors();
  for (KEVENT& event : levels.begin) KeInitializeEvent(&event, SynchronizationEvent, FALSE);
  Workers workers(2 * levels.processors, HighAndLow, &levels, nt_stress::Place::kAnywhere);
  workers.Join();
  NT_EXPECT_EQ(levels.violations, 0);
  NT_EXPECT_TRUE(levels.rounds != 0);
}

NT_TEST(StressScheduling, ThreadsStayWhereTheyMayBe) {
  Places places = {};
  places.active = KeQueryActiveProcessors();
  Workers workers(nt_stress::Processors() + 2, Wander, &places, nt_stress::Place::kAnywhere);
  workers.Join();
  NT_EXPECT_EQ(places.misplaced, 0);
  NT_EXPECT_TRUE(places.moves != 0);
}

NT_TEST(StressScheduling, EveryApcIsDeliveredOnce) {
  static Apcs apcs;
  RtlZeroMemory(&apcs, sizeof apcs);
  apcs.workers = nt_stress::Processors() + 2;
  KeInitializeEvent(&apcs.never, NotificationEvent, FALSE);
  Workers workers(apcs.workers, SendApcs, &apcs, nt_stress::Place::kAnywhere);
  workers.Join();
  NT_EXPECT_EQ(apcs.inserted, apcs.delivered + apcs.ran_down);
  NT_EXPECT_EQ(apcs.refused, 0);
}
