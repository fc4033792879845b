// Rundown, remove locks, one-time initialization and work items under pressure: no use after the wait
// returned, once is once, everything queued runs.
#include "nt_stress.h"

namespace {

// One round of users against one thread that runs the protection down.
struct Rundown {
  EX_RUNDOWN_REF plain;
  PEX_RUNDOWN_REF_CACHE_AWARE wide;
  IO_REMOVE_LOCK remove;
  volatile LONG gone;  // the wait has returned
  volatile LONG uses_after;
  volatile LONG started;
  ULONG how;
};

bool Enter(Rundown* rundown) {
  switch (rundown->how) {
    case 0:
      return ExAcquireRundownProtection(&rundown->plain);
    case 1:
      return ExAcquireRundownProtectionCacheAware(rundown->wide);
    default:
      return NT_SUCCESS(IoAcquireRemoveLock(&rundown->remove, rundown));
  }
}
void Leave(Rundown* rundown) {
  switch (rundown->how) {
    case 0:
      return ExReleaseRundownProtection(&rundown->plain);
    case 1:
      return ExReleaseRundownProtectionCacheAware(rundown->wide);
    default:
      return IoReleaseRemoveLock(&rundown->remove, rundown);
  }
}
void RunDown(Rundown* rundown) {
  switch (rundown->how) {
    case 0:
      return ExWaitForRundownProtectionRelease(&rundown->plain);
    case 1:
      return ExWaitForRundownProtectionReleaseCacheAware(rundown->wide);
    default:
      IoAcquireRemoveLock(&rundown->remove, nullptr);
      return IoReleaseRemoveLockAndWait(&rundown->remove, nullptr);
  }
}

void UseOrRunDown(nt_stress::Worker& worker) {
  auto* rundown = static_cast<Rundown*>(worker.context);
  if (worker.index == 0) {
    while (rundown->started == 0) YieldProcessor();
    for (ULONG i = worker.random.Below(20000); i != 0; --i) YieldProcessor();
    RunDown(rundown);
    InterlockedExchange(&rundown->gone, 1);
    return;
  }
  while (Enter(rundown)) {
    InterlockedExchange(&rundown->started, 1);
    for (ULONG i = worker.random.Below(64); i != 0; --i) YieldProcessor();
    if (rundown->gone != 0) InterlockedIncrement(&rundown->uses_after);
    Leave(rundown);
    ++worker.count;
  }
}

void RundownRounds(ULONG how) {
  ULONG64 uses = 0;
  LONG uses_after = 0;
  do {
    Rundown rundown = {};
    rundown.how = how;
    ExInitializeRundownProtection(&rundown.plain);
    IoInitializeRemoveLock(&rundown.remove, 'tseT', 0, 0);
    rundown.wide = ExAllocateCacheAwareRundownProtection(NonPagedPoolNx, 'tseT');
    NT_ASSERT_TRUE(rundown.wide != nullptr);
    {
      nt_stress::Workers workers(nt_stress::Processors() + 1, UseOrRunDown, &rundown,
                                 nt_stress::Place::kAnywhere);
      workers.Join();
      uses += workers.Total();
    }
    uses_after += rundown.uses_after;
    NT_EXPECT_EQ(rundown.gone, 1);
    ExFreeCacheAwareRundownProtection(rundown.wide);
  } while (StressGoesOn());
  NT_EXPECT_EQ(uses_after, 0);
  NT_EXPECT_TRUE(uses != 0);
}

}  // namespace

NT_TEST(StressRundown, NoUseAfterTheWait) {
  RundownRounds(0);
}

NT_TEST(StressRundown, NoUseAfterTheWaitCacheAware) {
  RundownRounds(1);
}

NT_TEST(StressRemoveLock, NoUseAfterTheWait) {
  RundownRounds(2);
}

namespace {

struct Once {
  RTL_RUN_ONCE once;
  volatile LONG calls;
  volatile LONG wrong;
  LONG fail_first;
};

ULONG NTAPI Initialize(PRTL_RUN_ONCE, PVOID parameter, PVOID* context) {
  auto* once = static_cast<Once*>(parameter);
  const LONG call = InterlockedIncrement(&once->calls);
  for (int i = 0; i < 200; ++i) YieldProcessor();
  *context = reinterpret_cast<PVOID>(ULONG_PTR{0x1230});
  return call > once->fail_first;
}

}  // namespace

NT_TEST(StressRunOnce, ExactlyOnce) {
  nt_stress::Random random(StressSeed());
  LONG wrong = 0, rounds = 0, exact = 0;
  do {
    Once once = {};
    once.fail_first = static_cast<LONG>(random.Below(3));
    RtlRunOnceInitialize(&once.once);
    nt_stress::Workers workers(
        nt_stress::Processors(),
        [](nt_stress::Worker& worker) {
          auto* once = static_cast<Once*>(worker.context);
          PVOID result = nullptr;
          while (!NT_SUCCESS(RtlRunOnceExecuteOnce(&once->once, Initialize, once, &result))) YieldProcessor();
          if (result != reinterpret_cast<PVOID>(ULONG_PTR{0x1230})) InterlockedIncrement(&once->wrong);
        },
        &once);
    workers.Join();
    wrong += once.wrong;
    exact += once.calls == once.fail_first + 1;
    ++rounds;
  } while (StressGoesOn());
  NT_EXPECT_EQ(wrong, 0);
  NT_EXPECT_EQ(exact, rounds);
}

namespace {

struct Works {
  volatile LONG64 runs;
};
struct Work {
  WORK_QUEUE_ITEM item;
  Works* works;
  KEVENT done;
};

VOID NTAPI RunWork(PVOID context) {
  auto* work = static_cast<Work*>(context);
  InterlockedIncrement64(&work->works->runs);
  KeSetEvent(&work->done, 0, FALSE);
}

constexpr WORK_QUEUE_TYPE kQueues[] = {CriticalWorkQueue,     DelayedWorkQueue,    HyperCriticalWorkQueue,
                                       NormalWorkQueue,       BackgroundWorkQueue, RealTimeWorkQueue,
                                       SuperCriticalWorkQueue};

}  // namespace

NT_TEST(StressWorkItem, EachRunsExactlyOnce) {
  Works works = {};
  nt_stress::Workers workers(
      nt_stress::Processors() * 2,
      [](nt_stress::Worker& worker) {
        Work work;
        work.works = static_cast<Works*>(worker.context);
        KeInitializeEvent(&work.done, SynchronizationEvent, FALSE);
        ExInitializeWorkItem(&work.item, RunWork, &work);
        do {
          ExQueueWorkItem(&work.item, kQueues[worker.random.Below(RTL_NUMBER_OF(kQueues))]);
          ++worker.count;
          KeWaitForSingleObject(&work.done, Executive, KernelMode, FALSE, nullptr);
        } while (StressGoesOn());
      },
      &works);
  workers.Join();
  NT_EXPECT_EQ(static_cast<ULONG64>(works.runs), workers.Total());
  NT_EXPECT_TRUE(workers.Smallest() != 0);
}

// A thread per item dies and is reaped; none is lost and none stays.
NT_TEST(StressWorkItem, ThreadsComeAndGo) {
  ULONG64 made = 0;
  volatile LONG64 ran = 0;
  do {
    nt_stress::Workers workers(
        8,
        [](nt_stress::Worker& worker) {
          InterlockedIncrement64(static_cast<volatile LONG64*>(worker.context));
        },
        const_cast<LONG64*>(&ran), nt_stress::Place::kAnywhere);
    workers.Join();
    made += 8;
  } while (StressGoesOn());
  NT_EXPECT_EQ(static_cast<ULONG64>(ran), made);
}
