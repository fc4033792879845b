// Timers and time. Oracle: the WDK pages of the routines; not yet run on a real NT.
#include "nt_test.h"
#include "threads.h"

using nt_test::Milliseconds;
using nt_test::Sleep;

namespace {

constexpr LONGLONG kLong = 60'000;  // ms: never reached

NTSTATUS WaitFor(PVOID object, LONGLONG milliseconds) {
  LARGE_INTEGER timeout = Milliseconds(milliseconds);
  return KeWaitForSingleObject(object, Executive, KernelMode, FALSE, &timeout);
}

ULONG64 Now() {  // interrupt time as of now
  ULONG64 counter;
  return KeQueryInterruptTimePrecise(&counter);
}

LARGE_INTEGER SystemTimeIn(LONGLONG milliseconds) {
  LARGE_INTEGER time;
  KeQuerySystemTimePrecise(&time);
  time.QuadPart += milliseconds * 10'000;
  return time;
}

struct Stamp {
  KDPC dpc;
  KTIMER timer;
  KEVENT done;
  volatile LONG runs;
  LONG wanted;
  ULONG64 first, last;
};
void StampTime(PKDPC, PVOID context, PVOID, PVOID) {
  auto* stamp = static_cast<Stamp*>(context);
  stamp->last = Now();
  if (stamp->runs == 0) stamp->first = stamp->last;
  if (InterlockedIncrement(&stamp->runs) == stamp->wanted) KeSetEvent(&stamp->done, IO_NO_INCREMENT, FALSE);
}
void Prepare(Stamp* stamp, LONG wanted) {
  RtlZeroMemory(stamp, sizeof(*stamp));
  stamp->wanted = wanted;
  KeInitializeEvent(&stamp->done, NotificationEvent, FALSE);
  KeInitializeDpc(&stamp->dpc, StampTime, stamp);
  KeInitializeTimerEx(&stamp->timer, SynchronizationTimer);
}

}  // namespace

NT_TEST(KeTimer, RelativeIsNeverEarly) {
  const LONGLONG intervals[] = {1, 3, 10, 20};
  for (const LONGLONG milliseconds : intervals) {
    Stamp stamp;
    Prepare(&stamp, 1);
    const ULONG64 before = Now();
    const ULONG64 clock_before = KeQueryInterruptTime();
    KeSetTimer(&stamp.timer, Milliseconds(milliseconds), &stamp.dpc);
    NT_EXPECT_EQ(WaitFor(&stamp.timer, kLong), STATUS_SUCCESS);
    NT_EXPECT_TRUE(Now() - before >= static_cast<ULONG64>(milliseconds) * 10'000);
    NT_EXPECT_TRUE(KeQueryInterruptTime() - clock_before >= static_cast<ULONG64>(milliseconds) * 10'000);
    NT_EXPECT_EQ(WaitFor(&stamp.done, kLong), STATUS_SUCCESS);
    NT_EXPECT_TRUE(stamp.first - before >= static_cast<ULONG64>(milliseconds) * 10'000);
    KeFlushQueuedDpcs();
  }
}

NT_TEST(KeTimer, AbsoluteIsNeverEarly) {
  Stamp stamp;
  Prepare(&stamp, 1);
  const LARGE_INTEGER due = SystemTimeIn(15);
  KeSetTimer(&stamp.timer, due, &stamp.dpc);
  NT_EXPECT_EQ(WaitFor(&stamp.timer, kLong), STATUS_SUCCESS);
  LARGE_INTEGER now;
  KeQuerySystemTime(&now);
  NT_EXPECT_TRUE(now.QuadPart >= due.QuadPart);
  KeFlushQueuedDpcs();
}

NT_TEST(KeTimer, DueTimeInThePastExpiresAtOnce) {
  Stamp stamp;
  Prepare(&stamp, 1);
  KeSetTimer(&stamp.timer, SystemTimeIn(-1'000), &stamp.dpc);
  NT_EXPECT_TRUE(KeReadStateTimer(&stamp.timer));
  NT_EXPECT_EQ(WaitFor(&stamp.done, kLong), STATUS_SUCCESS);
  NT_EXPECT_TRUE(!KeCancelTimer(&stamp.timer));
  KeFlushQueuedDpcs();
}

NT_TEST(KeTimer, PeriodicRunsItsDpcEveryPeriodAndNotMoreOften) {
  Stamp stamp;
  Prepare(&stamp, 10);
  const ULONG64 before = Now();
  KeSetTimerEx(&stamp.timer, Milliseconds(4), 4, &stamp.dpc);
  NT_EXPECT_EQ(WaitFor(&stamp.done, kLong), STATUS_SUCCESS);
  NT_EXPECT_TRUE(KeCancelTimer(&stamp.timer));
  KeFlushQueuedDpcs();
  const LONG runs = stamp.runs;
  // The n-th run is not before n periods.
  NT_EXPECT_TRUE(stamp.last - before >= static_cast<ULONG64>(runs) * 40'000);
  Sleep(20);
  NT_EXPECT_EQ(stamp.runs, runs);
}

NT_TEST(KeTimer, CoalescableExpiresWithinItsTolerance) {
  Stamp stamp;
  Prepare(&stamp, 1);
  const ULONG64 before = Now();
  NT_EXPECT_TRUE(!KeSetCoalescableTimer(&stamp.timer, Milliseconds(10), 0, 100, &stamp.dpc));
  NT_EXPECT_EQ(WaitFor(&stamp.done, kLong), STATUS_SUCCESS);
  NT_EXPECT_TRUE(stamp.first - before >= 100'000);
  Prepare(&stamp, 4);
  KeSetCoalescableTimer(&stamp.timer, Milliseconds(5), 5, 32, &stamp.dpc);
  NT_EXPECT_EQ(WaitFor(&stamp.done, kLong), STATUS_SUCCESS);
  KeCancelTimer(&stamp.timer);
  KeFlushQueuedDpcs();
}

NT_TEST(KeTimer, DpcRunsOnItsTarget) {
  struct Where {
    KEVENT done;
    ULONG processor;
  } where;
  for (ULONG i = 0; i < KeQueryActiveProcessorCount(nullptr); ++i) {
    KTIMER timer;
    KDPC dpc;
    KeInitializeEvent(&where.done, NotificationEvent, FALSE);
    KeInitializeTimer(&timer);
    KeInitializeDpc(
        &dpc,
        [](PKDPC, PVOID context, PVOID, PVOID) {
          auto* where = static_cast<Where*>(context);
          where->processor = KeGetCurrentProcessorNumberEx(nullptr);
          KeSetEvent(&where->done, IO_NO_INCREMENT, FALSE);
        },
        &where);
    KeSetTargetProcessorDpc(&dpc, static_cast<CCHAR>(i));
    KeSetTimer(&timer, Milliseconds(2), &dpc);
    NT_EXPECT_EQ(WaitFor(&where.done, kLong), STATUS_SUCCESS);
    NT_EXPECT_EQ(where.processor, i);
    KeFlushQueuedDpcs();
  }
}

namespace {

constexpr LONG kOrdered = 6;
struct OrderedTimers {
  struct Entry {
    KTIMER timer;
    KDPC dpc;
    OrderedTimers* all;
    LONG milliseconds;  // after the common start
  } entries[kOrdered];
  volatile LONG next;
  LONG ran[kOrdered];
};

void NoteOrder(PKDPC, PVOID context, PVOID, PVOID) {
  auto* entry = static_cast<OrderedTimers::Entry*>(context);
  entry->all->ran[InterlockedIncrement(&entry->all->next) - 1] = entry->milliseconds;
}

// Sets all for one processor, relative to one moment. FALSE: the machine stood still meanwhile, so that the
// first was due before the last was set: a timer that is set too late expires at once, whatever waits. At
// DISPATCH_LEVEL, as the DPCs must not run in between.
bool SetInDisorder(OrderedTimers* timers) {
  const LONG milliseconds[kOrdered] = {50, 10, 60, 30, 20, 40};
  timers->next = 0;
  const LARGE_INTEGER start = SystemTimeIn(0);
  for (LONG i = 0; i < kOrdered; ++i) {
    OrderedTimers::Entry& entry = timers->entries[i];
    entry.all = timers;
    entry.milliseconds = milliseconds[i];
    KeInitializeTimer(&entry.timer);
    KeInitializeDpc(&entry.dpc, NoteOrder, &entry);
    KeSetTargetProcessorDpc(&entry.dpc, static_cast<CCHAR>(KeGetCurrentProcessorNumberEx(nullptr)));
    LARGE_INTEGER due;
    due.QuadPart = start.QuadPart + milliseconds[i] * 10'000;
    KeSetTimer(&entry.timer, due, &entry.dpc);
  }
  return SystemTimeIn(0).QuadPart < start.QuadPart + 10 * 10'000;
}

}  // namespace

// Timers of one processor that are due at different times run their DPCs in that order, even where that
// processor stays at DISPATCH_LEVEL meanwhile and others expire them too.
NT_TEST(KeTimer, DpcsRunInTheOrderOfTheirDueTimes) {
  static OrderedTimers timers;
  for (bool in_time = false; !in_time;) {
    KIRQL old;
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    in_time = SetInDisorder(&timers);
    if (in_time) KeStallExecutionProcessor(70'000);  // they are all due when the first may run
    KeLowerIrql(old);
    for (OrderedTimers::Entry& entry : timers.entries) WaitFor(&entry.timer, kLong);
    KeFlushQueuedDpcs();
  }
  NT_EXPECT_EQ(timers.next, kOrdered);
  for (LONG i = 0; i < kOrdered; ++i) NT_EXPECT_EQ(timers.ran[i], (i + 1) * 10);
}

// Whom a timer wakes runs elsewhere while the timer's DPC, on the processor that expired it, still runs.
NT_TEST(KeTimer, AWaiterNeedNotAwaitTheDpcs) {
  if (KeQueryActiveProcessorCount(nullptr) < 2) return;
  struct State {
    KTIMER timer;
    KDPC dpc;
    volatile LONG waits, woken;
    LONG seen;
  } state = {};
  KeInitializeTimer(&state.timer);
  KeInitializeDpc(
      &state.dpc,
      [](PKDPC, PVOID context, PVOID, PVOID) {
        auto* state = static_cast<State*>(context);
        while (state->woken == 0) YieldProcessor();  // or the DPC watchdog ends it
        state->seen = 1;
      },
      &state);
  nt_test::Thread thread(
      [](PVOID context) {
        auto* state = static_cast<State*>(context);
        state->waits = 1;
        KeWaitForSingleObject(&state->timer, Executive, KernelMode, FALSE, nullptr);
        state->woken = 1;
      },
      &state);
  while (state.waits == 0) Sleep(1);
  KeSetTimer(&state.timer, Milliseconds(2), &state.dpc);
  thread.Join();
  KeFlushQueuedDpcs();
  NT_EXPECT_EQ(state.seen, 1);
}

NT_TEST(KeTimer, SynchronizationReleasesOneNotificationAll) {
  KTIMER timer;
  KeInitializeTimerEx(&timer, NotificationTimer);
  KeSetTimer(&timer, Milliseconds(1), nullptr);
  NT_EXPECT_EQ(WaitFor(&timer, kLong), STATUS_SUCCESS);
  NT_EXPECT_EQ(WaitFor(&timer, kLong), STATUS_SUCCESS);
  KeSetTimer(&timer, Milliseconds(kLong), nullptr);
  NT_EXPECT_TRUE(!KeReadStateTimer(&timer));  // setting it clears it
  NT_EXPECT_TRUE(KeCancelTimer(&timer));
}

// Moves the system time; the timers' margins below are minutes, so that no delay of the host comes near them.
static NTSTATUS MoveSystemTime(LONGLONG minutes) {
  LARGE_INTEGER time = SystemTimeIn(minutes * 60 * 1'000), previous;
  return ZwSetSystemTime(&time, &previous);
}

NT_TEST(KeTime, SystemTimeMovesAbsoluteTimersOnly) {
  constexpr LONG kMinute = 60 * 1'000;
  KTIMER absolute, relative;
  KeInitializeTimer(&absolute);
  KeInitializeTimer(&relative);
  KeSetTimer(&absolute, SystemTimeIn(30 * kMinute), nullptr);
  KeSetTimer(&relative, Milliseconds(30 * kMinute), nullptr);
  const ULONG64 interrupt_before = Now();
  const LARGE_INTEGER later = SystemTimeIn(60 * kMinute);
  NT_EXPECT_EQ(MoveSystemTime(60), STATUS_SUCCESS);
  LARGE_INTEGER now;
  KeQuerySystemTime(&now);
  NT_EXPECT_TRUE(now.QuadPart >= later.QuadPart);
  NT_EXPECT_EQ(WaitFor(&absolute, kLong), STATUS_SUCCESS);
  NT_EXPECT_TRUE(!KeReadStateTimer(&relative));
  NT_EXPECT_TRUE(KeCancelTimer(&relative));
  // An hour back and 45 minutes on: an absolute timer of 30 minutes is 45 minutes away.
  KeSetTimer(&absolute, SystemTimeIn(30 * kMinute), nullptr);
  NT_EXPECT_EQ(MoveSystemTime(-60), STATUS_SUCCESS);
  NT_EXPECT_EQ(MoveSystemTime(45), STATUS_SUCCESS);
  NT_EXPECT_EQ(WaitFor(&absolute, 30), STATUS_TIMEOUT);
  NT_EXPECT_EQ(MoveSystemTime(60), STATUS_SUCCESS);
  NT_EXPECT_EQ(WaitFor(&absolute, kLong), STATUS_SUCCESS);
  NT_EXPECT_EQ(MoveSystemTime(-105), STATUS_SUCCESS);
  NT_EXPECT_TRUE(Now() - interrupt_before < 30ull * kMinute * 10'000);
  LARGE_INTEGER wrong;
  wrong.QuadPart = -1;
  NT_EXPECT_EQ(ZwSetSystemTime(&wrong, nullptr), STATUS_INVALID_PARAMETER);
}

NT_TEST(KeTime, PreciseTimesAreNotBehindTheClock) {
  for (int i = 0; i < 1'000; ++i) {
    const ULONG64 clock = KeQueryInterruptTime();
    const ULONG64 unbiased_clock = KeQueryUnbiasedInterruptTime();
    ULONG64 counter, unbiased_counter;
    const ULONG64 precise = KeQueryInterruptTimePrecise(&counter);
    const ULONG64 unbiased = KeQueryUnbiasedInterruptTimePrecise(&unbiased_counter);
    NT_EXPECT_TRUE(precise >= clock && unbiased >= unbiased_clock && unbiased_clock >= clock);
    NT_EXPECT_TRUE(unbiased >= precise && unbiased_counter >= counter);
    LARGE_INTEGER system, precise_system;
    KeQuerySystemTime(&system);
    KeQuerySystemTimePrecise(&precise_system);
    NT_EXPECT_TRUE(precise_system.QuadPart >= system.QuadPart);
  }
}

NT_TEST(KeTime, StallTakesAtLeastItsTime) {
  LARGE_INTEGER frequency;
  const ULONG intervals[] = {1, 50, 2'000};
  for (const ULONG microseconds : intervals) {
    const LARGE_INTEGER before = KeQueryPerformanceCounter(&frequency);
    KeStallExecutionProcessor(microseconds);
    const LARGE_INTEGER after = KeQueryPerformanceCounter(nullptr);
    NT_EXPECT_TRUE((after.QuadPart - before.QuadPart) * 1'000'000 >= microseconds * frequency.QuadPart);
  }
}

NT_TEST(KeTime, ResolutionIsTheFinestThatWasAskedFor) {
  ULONG longest, shortest, present;
  ExQueryTimerResolution(&longest, &shortest, &present);
  NT_EXPECT_EQ(longest, KeQueryTimeIncrement());
  NT_EXPECT_TRUE(shortest <= present && present <= longest);
  NT_EXPECT_EQ(ExSetTimerResolution(20'000, TRUE), 20'000);
  NT_EXPECT_EQ(ExSetTimerResolution(10'000, TRUE), 10'000);
  NT_EXPECT_EQ(ExSetTimerResolution(40'000, TRUE), 10'000);
  ExQueryTimerResolution(&longest, &shortest, &present);
  NT_EXPECT_EQ(present, 10'000);
  ExSetTimerResolution(0, FALSE);
  ExSetTimerResolution(0, FALSE);
  NT_EXPECT_EQ(ExSetTimerResolution(0, FALSE), longest);
}

NT_TEST(KeTime, ThereIsNoAuxiliaryCounter) {
  ULONG64 value, error;
  NT_EXPECT_EQ(KeQueryAuxiliaryCounterFrequency(&value), STATUS_NOT_SUPPORTED);
  NT_EXPECT_EQ(KeConvertAuxiliaryCounterToPerformanceCounter(1, &value, &error), STATUS_NOT_SUPPORTED);
  NT_EXPECT_EQ(KeConvertPerformanceCounterToAuxiliaryCounter(1, &value, &error), STATUS_NOT_SUPPORTED);
}
