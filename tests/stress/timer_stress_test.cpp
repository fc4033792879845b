// Timers and clocks under pressure: never early, cancelled or expired but not both, one time for all
// processors.
#include "nt_stress.h"

namespace {

ULONG64 Now() {
  ULONG64 counter;
  return KeQueryInterruptTimePrecise(&counter);
}

struct Alarm {
  KTIMER timer;
  KDPC dpc;
  volatile ULONG64 due;  // interrupt time
  volatile LONG64 expired, early;
};
Alarm* AllocateAlarms(ULONG count) {
  auto* alarms = static_cast<Alarm*>(ExAllocatePoolWithTag(NonPagedPoolNx, count * sizeof(Alarm), 'rtST'));
  if (alarms != nullptr) RtlZeroMemory(alarms, count * sizeof(Alarm));
  return alarms;
}

void Expire(PKDPC, PVOID context, PVOID, PVOID) {
  auto* alarm = static_cast<Alarm*>(context);
  if (Now() < alarm->due) InterlockedIncrement64(&alarm->early);
  InterlockedIncrement64(&alarm->expired);
}
void Prepare(Alarm* alarm) {
  KeInitializeTimerEx(&alarm->timer, SynchronizationTimer);
  KeInitializeDpc(&alarm->dpc, Expire, alarm);
}

struct Early {
  volatile LONG64 waits, clocks;
  Alarm* alarms;
};

// A wait that ends and a DPC that runs are both at or after the due time; so is the time that a driver reads.
void WaitForTimers(nt_stress::Worker& worker) {
  auto* early = static_cast<Early*>(worker.context);
  Alarm& alarm = early->alarms[worker.index];
  Prepare(&alarm);
  do {
    if (worker.random.OneIn(4)) {
      KeSetTargetProcessorDpc(&alarm.dpc, static_cast<CCHAR>(worker.random.Below(nt_stress::Processors())));
    }
    const ULONG64 units = 1 + worker.random.Below(50'000);
    LARGE_INTEGER due;
    const bool absolute = worker.random.OneIn(2);
    const ULONG64 clock = KeQueryInterruptTime();
    const ULONG64 now = Now();
    if (absolute) {
      KeQuerySystemTimePrecise(&due);
      due.QuadPart += static_cast<LONGLONG>(units);
    } else {
      due.QuadPart = -static_cast<LONGLONG>(units);
    }
    alarm.due = now + units;
    if (worker.random.OneIn(4)) {
      KeSetCoalescableTimer(&alarm.timer, due, 0, worker.random.Below(4), &alarm.dpc);
    } else {
      KeSetTimer(&alarm.timer, due, &alarm.dpc);
    }
    KeWaitForSingleObject(&alarm.timer, Executive, KernelMode, FALSE, nullptr);
    if (Now() < alarm.due) InterlockedIncrement64(&early->waits);
    if (KeQueryInterruptTime() < clock + units) InterlockedIncrement64(&early->clocks);
    KeFlushQueuedDpcs();  // the DPC must not see the next due time
    ++worker.count;
  } while (StressGoesOn());
}

void CancelTimers(nt_stress::Worker& worker) {
  Alarm& alarm = static_cast<Alarm*>(worker.context)[worker.index];
  Prepare(&alarm);
  LONG64 expected = 0;
  do {
    LARGE_INTEGER due;
    due.QuadPart = -static_cast<LONGLONG>(1 + worker.random.Below(3'000));
    alarm.due = Now() - due.QuadPart;
    KeSetTimer(&alarm.timer, due, &alarm.dpc);
    for (ULONG spin = worker.random.Below(3'000); spin != 0; --spin) __asm__ volatile("");
    if (worker.random.OneIn(4)) KeStallExecutionProcessor(worker.random.Below(300));
    // Cancelled: no DPC. Not cancelled: one, which is queued already.
    if (!KeCancelTimer(&alarm.timer)) {
      ++expected;
      if (worker.random.OneIn(2)) {
        KeFlushQueuedDpcs();
      } else {
        while (alarm.expired != expected && StressGoesOn()) YieldProcessor();
        KeFlushQueuedDpcs();
      }
    }
    worker.count = static_cast<ULONG64>(expected);
  } while (StressGoesOn());
}

// Timers that anybody may set and cancel.
struct Shared {
  Alarm alarms[8];
  volatile LONG64 set, replaced, cancelled;
};
void FightForTimers(nt_stress::Worker& worker) {
  auto* shared = static_cast<Shared*>(worker.context);
  do {
    Alarm& alarm = shared->alarms[worker.random.Below(8)];
    if (worker.random.OneIn(2)) {
      LARGE_INTEGER due;
      due.QuadPart = -static_cast<LONGLONG>(10 + worker.random.Below(20'000));
      if (KeSetTimer(&alarm.timer, due, nullptr)) InterlockedIncrement64(&shared->replaced);
      InterlockedIncrement64(&shared->set);
    } else if (KeCancelTimer(&alarm.timer)) {
      InterlockedIncrement64(&shared->cancelled);
    }
    ++worker.count;
  } while (StressGoesOn());
}

struct Periodic {
  KTIMER timer;
  KDPC dpc;
  ULONG64 start;
  ULONG64 period;
  volatile LONG64 runs, early;
};
void CountPeriod(PKDPC, PVOID context, PVOID, PVOID) {
  auto* periodic = static_cast<Periodic*>(context);
  const LONG64 run = InterlockedIncrement64(&periodic->runs);
  if (Now() < periodic->start + static_cast<ULONG64>(run) * periodic->period) {
    InterlockedIncrement64(&periodic->early);
  }
}
void RunPeriodic(nt_stress::Worker& worker) {
  Periodic& periodic = static_cast<Periodic*>(worker.context)[worker.index];
  KeInitializeTimer(&periodic.timer);
  KeInitializeDpc(&periodic.dpc, CountPeriod, &periodic);
  const ULONG milliseconds = 1 + worker.random.Below(4);
  periodic.period = milliseconds * 10'000ull;
  periodic.start = Now();
  LARGE_INTEGER due;
  due.QuadPart = -static_cast<LONGLONG>(periodic.period);
  KeSetTimerEx(&periodic.timer, due, static_cast<LONG>(milliseconds), &periodic.dpc);
  LARGE_INTEGER moment;
  moment.QuadPart = -20'000;
  while (StressGoesOn() || periodic.runs == 0) KeDelayExecutionThread(KernelMode, FALSE, &moment);
  KeCancelTimer(&periodic.timer);
  KeFlushQueuedDpcs();
  worker.count = static_cast<ULONG64>(periodic.runs);
}

// A timer with a DPC that reuses the timer's memory at once, as one that frees it does.
constexpr UCHAR kReused = 0xA5;
struct Reused {
  KTIMER timer;
  KDPC dpc;
  volatile LONG reused;
};
void Reuse(PKDPC, PVOID context, PVOID, PVOID) {
  auto* reused = static_cast<Reused*>(context);
  RtlFillMemory(&reused->timer, sizeof reused->timer, kReused);
  reused->reused = 1;
}
ULONG64 CountTouched(const Reused& reused) {
  const auto* bytes = reinterpret_cast<const volatile UCHAR*>(&reused.timer);
  ULONG64 touched = 0;
  for (ULONG i = 0; i < sizeof reused.timer; ++i) touched += bytes[i] != kReused ? 1 : 0;
  return touched;
}
void ReuseTimers(nt_stress::Worker& worker) {
  Reused* all = static_cast<Reused*>(worker.context) + 8 * worker.index;
  do {
    for (Reused* reused = all; reused < all + 8; ++reused) {
      reused->reused = 0;
      KeInitializeTimer(&reused->timer);
      KeInitializeDpc(&reused->dpc, Reuse, reused);
      KeSetTargetProcessorDpc(&reused->dpc, static_cast<CCHAR>(worker.random.Below(nt_stress::Processors())));
      KeSetImportanceDpc(&reused->dpc, HighImportance);
      LARGE_INTEGER due;
      due.QuadPart = -static_cast<LONGLONG>(1 + worker.random.Below(500));
      KeSetTimer(&reused->timer, due, &reused->dpc);
    }
    for (Reused* reused = all; reused < all + 8; ++reused) {
      while (!reused->reused) YieldProcessor();
    }
    if (worker.random.OneIn(4)) KeStallExecutionProcessor(50);
    for (Reused* reused = all; reused < all + 8; ++reused) worker.count += CountTouched(*reused);
  } while (StressGoesOn());
  KeFlushQueuedDpcs();
}

struct Clocks {
  volatile LONG64 latest[4];
  volatile LONG64 backward[4];
};
// Nobody reads less than anybody read before.
void Compare(Clocks* clocks, ULONG clock, LONG64 (*read)()) {
  LONG64 seen = InterlockedCompareExchange64(&clocks->latest[clock], 0, 0);
  const LONG64 now = read();
  if (now < seen) InterlockedIncrement64(&clocks->backward[clock]);
  while (now > seen) {
    const LONG64 before = InterlockedCompareExchange64(&clocks->latest[clock], now, seen);
    if (before == seen) break;
    seen = before;
  }
}
void ReadClocks(nt_stress::Worker& worker) {
  auto* clocks = static_cast<Clocks*>(worker.context);
  do {
    Compare(clocks, 0, []() -> LONG64 { return KeQueryPerformanceCounter(nullptr).QuadPart; });
    Compare(clocks, 1, []() -> LONG64 { return static_cast<LONG64>(KeQueryInterruptTime()); });
    Compare(clocks, 2, []() -> LONG64 {
      LARGE_INTEGER time;
      KeQuerySystemTime(&time);
      return time.QuadPart;
    });
    Compare(clocks, 3, []() -> LONG64 {
      LARGE_INTEGER ticks;
      KeQueryTickCount(&ticks);
      return ticks.QuadPart;
    });
    ++worker.count;
  } while (StressGoesOn());
}

}  // namespace

NT_TEST(StressTimer, NeverEarly) {
  const ULONG count = nt_stress::Processors() * 2;
  Early early = {};
  early.alarms = AllocateAlarms(count);
  NT_ASSERT_TRUE(early.alarms != nullptr);
  nt_stress::Workers workers(count, WaitForTimers, &early);
  workers.Join();
  NT_EXPECT_EQ(early.waits, 0);
  NT_EXPECT_EQ(early.clocks, 0);
  for (ULONG i = 0; i < count; ++i) {
    NT_EXPECT_EQ(early.alarms[i].early, 0);
    NT_EXPECT_EQ(static_cast<ULONG64>(early.alarms[i].expired), workers[i].count);
  }
  ExFreePoolWithTag(early.alarms, 'rtST');
}

NT_TEST(StressTimer, CancelledOrExpiredButNotBoth) {
  const ULONG count = nt_stress::Processors();
  Alarm* alarms = AllocateAlarms(count);
  NT_ASSERT_TRUE(alarms != nullptr);
  nt_stress::Workers workers(count, CancelTimers, alarms);
  workers.Join();
  KeFlushQueuedDpcs();
  for (ULONG i = 0; i < count; ++i) {
    NT_EXPECT_EQ(static_cast<ULONG64>(alarms[i].expired), workers[i].count);
    NT_EXPECT_EQ(alarms[i].early, 0);
  }
  ExFreePoolWithTag(alarms, 'rtST');
}

NT_TEST(StressTimer, AnybodyMaySetAndCancel) {
  auto* shared = static_cast<Shared*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Shared), 'rtST'));
  NT_ASSERT_TRUE(shared != nullptr);
  RtlZeroMemory(shared, sizeof(*shared));
  for (Alarm& alarm : shared->alarms) KeInitializeTimer(&alarm.timer);
  nt_stress::Workers workers(nt_stress::Processors() * 2, FightForTimers, shared);
  workers.Join();
  LONG64 left = 0;
  for (Alarm& alarm : shared->alarms) left += KeCancelTimer(&alarm.timer) ? 1 : 0;
  // What is neither replaced nor cancelled expired: none is counted twice.
  NT_EXPECT_TRUE(shared->replaced + shared->cancelled + left <= shared->set);
  NT_EXPECT_TRUE(workers.Total() != 0);
  ExFreePoolWithTag(shared, 'rtST');
}

NT_TEST(StressTimer, PeriodicNeverRunsAhead) {
  const ULONG count = nt_stress::Processors() * 2;
  auto* periodic =
      static_cast<Periodic*>(ExAllocatePoolWithTag(NonPagedPoolNx, count * sizeof(Periodic), 'rtST'));
  NT_ASSERT_TRUE(periodic != nullptr);
  RtlZeroMemory(periodic, count * sizeof(Periodic));
  nt_stress::Workers workers(count, RunPeriodic, periodic);
  workers.Join();
  for (ULONG i = 0; i < count; ++i) NT_EXPECT_EQ(periodic[i].early, 0);
  NT_EXPECT_TRUE(workers.Total() != 0);
  ExFreePoolWithTag(periodic, 'rtST');
}

NT_TEST(StressTimer, ItsDpcMayFreeIt) {
  const ULONG count = nt_stress::Processors();
  auto* reused =
      static_cast<Reused*>(ExAllocatePoolWithTag(NonPagedPoolNx, 8 * count * sizeof(Reused), 'rtST'));
  NT_ASSERT_TRUE(reused != nullptr);
  nt_stress::Workers workers(count, ReuseTimers, reused);
  workers.Join();
  NT_EXPECT_EQ(workers.Total(), 0);
  ExFreePoolWithTag(reused, 'rtST');
}

NT_TEST(StressTime, NoClockRunsBackwardOverTheProcessors) {
  Clocks clocks = {};
  nt_stress::Workers workers(nt_stress::Processors(), ReadClocks, &clocks);
  workers.Join();
  for (const volatile LONG64& backward : clocks.backward) NT_EXPECT_EQ(backward, 0);
  NT_EXPECT_TRUE(workers.Smallest() != 0);
}
