// Timers of ExAllocateTimer. Oracle: the WDK pages of the routines; not yet run on a real NT.
#include "nt_test.h"
#include "threads.h"

namespace {

struct State {
  KEVENT called, deleted;
  volatile LONG calls, deletions;
  volatile LONG irql;
  volatile PEX_TIMER timer;
  ULONG64 last;
};

ULONG64 Now() {
  ULONG64 counter;
  return KeQueryInterruptTimePrecise(&counter);
}

void NTAPI Callback(PEX_TIMER timer, PVOID context) {
  auto* state = static_cast<State*>(context);
  state->irql = KeGetCurrentIrql();
  state->timer = timer;
  state->last = Now();
  InterlockedIncrement(&state->calls);
  KeSetEvent(&state->called, IO_NO_INCREMENT, FALSE);
}
void NTAPI Deleted(PVOID context) {
  auto* state = static_cast<State*>(context);
  InterlockedIncrement(&state->deletions);
  KeSetEvent(&state->deleted, IO_NO_INCREMENT, FALSE);
}
void Prepare(State* state) {
  RtlZeroMemory(state, sizeof(*state));
  KeInitializeEvent(&state->called, SynchronizationEvent, FALSE);
  KeInitializeEvent(&state->deleted, SynchronizationEvent, FALSE);
}
EXT_DELETE_PARAMETERS DeleteParameters(State* state) {
  EXT_DELETE_PARAMETERS parameters = {};
  parameters.DeleteCallback = Deleted;
  parameters.DeleteContext = state;
  return parameters;
}
NTSTATUS WaitFor(PVOID object, LONGLONG milliseconds = 60'000) {
  LARGE_INTEGER timeout = nt_test::Milliseconds(milliseconds);
  return KeWaitForSingleObject(object, Executive, KernelMode, FALSE, &timeout);
}
constexpr LONGLONG kMillisecond = 10'000;

}  // namespace

NT_TEST(ExTimer, CallbackRunsAtDispatchLevelNeverEarly) {
  const ULONG kinds[] = {0, EX_TIMER_HIGH_RESOLUTION, EX_TIMER_NO_WAKE};
  for (const ULONG attributes : kinds) {
    State state;
    Prepare(&state);
    EXT_SET_PARAMETERS set;
    ExInitializeSetTimerParameters(&set);
    set.NoWakeTolerance = 20 * kMillisecond;
    PEX_TIMER timer = ExAllocateTimer(Callback, &state, attributes);
    NT_ASSERT_TRUE(timer != nullptr);
    const ULONG64 before = Now();
    NT_EXPECT_TRUE(!ExSetTimer(timer, -5 * kMillisecond, 0, &set));
    NT_EXPECT_EQ(WaitFor(&state.called), STATUS_SUCCESS);
    NT_EXPECT_EQ(state.irql, DISPATCH_LEVEL);
    NT_EXPECT_TRUE(state.timer == timer);
    NT_EXPECT_TRUE(state.last - before >= 5 * kMillisecond);
    EXT_DELETE_PARAMETERS parameters = DeleteParameters(&state);
    NT_EXPECT_TRUE(!ExDeleteTimer(timer, TRUE, TRUE, &parameters));
    NT_EXPECT_EQ(state.deletions, 1);
  }
}

NT_TEST(ExTimer, CanBeWaitedFor) {
  PEX_TIMER once = ExAllocateTimer(nullptr, nullptr, 0);
  PEX_TIMER stays = ExAllocateTimer(nullptr, nullptr, EX_TIMER_NOTIFICATION);
  NT_ASSERT_TRUE(once != nullptr && stays != nullptr);
  ExSetTimer(once, -kMillisecond, 0, nullptr);
  ExSetTimer(stays, -kMillisecond, 0, nullptr);
  NT_EXPECT_EQ(WaitFor(once), STATUS_SUCCESS);
  NT_EXPECT_EQ(WaitFor(once, 5), STATUS_TIMEOUT);
  NT_EXPECT_EQ(WaitFor(stays), STATUS_SUCCESS);
  NT_EXPECT_EQ(WaitFor(stays), STATUS_SUCCESS);
  ExDeleteTimer(once, TRUE, TRUE, nullptr);
  ExDeleteTimer(stays, TRUE, TRUE, nullptr);
}

NT_TEST(ExTimer, PeriodIsInUnitsOf100Nanoseconds) {
  State state;
  Prepare(&state);
  PEX_TIMER timer = ExAllocateTimer(Callback, &state, EX_TIMER_HIGH_RESOLUTION);
  NT_ASSERT_TRUE(timer != nullptr);
  const ULONG64 before = Now();
  ExSetTimer(timer, -15'000, 15'000, nullptr);  // 1.5 ms
  while (state.calls < 10) NT_EXPECT_EQ(WaitFor(&state.called), STATUS_SUCCESS);
  NT_EXPECT_TRUE(ExCancelTimer(timer, nullptr));
  NT_EXPECT_TRUE(!ExCancelTimer(timer, nullptr));
  KeFlushQueuedDpcs();
  NT_EXPECT_TRUE(state.last - before >= static_cast<ULONG64>(state.calls) * 15'000);
  ExDeleteTimer(timer, TRUE, TRUE, nullptr);
}

NT_TEST(ExTimer, SetAgainReplacesAndTellsSo) {
  PEX_TIMER timer = ExAllocateTimer(nullptr, nullptr, 0);
  NT_ASSERT_TRUE(timer != nullptr);
  NT_EXPECT_TRUE(!ExSetTimer(timer, -60'000 * kMillisecond, 0, nullptr));
  NT_EXPECT_TRUE(ExSetTimer(timer, -60'000 * kMillisecond, 0, nullptr));
  NT_EXPECT_TRUE(ExDeleteTimer(timer, TRUE, TRUE, nullptr));
}

NT_TEST(ExTimer, DeletedWithoutCancelItStillExpires) {
  State state;
  Prepare(&state);
  EXT_DELETE_PARAMETERS parameters = DeleteParameters(&state);
  PEX_TIMER timer = ExAllocateTimer(Callback, &state, 0);
  NT_ASSERT_TRUE(timer != nullptr);
  ExSetTimer(timer, -10 * kMillisecond, 2 * kMillisecond, nullptr);
  NT_EXPECT_TRUE(!ExDeleteTimer(timer, FALSE, FALSE, &parameters));
  NT_EXPECT_EQ(WaitFor(&state.deleted), STATUS_SUCCESS);
  NT_EXPECT_TRUE(state.calls >= 1);
  NT_EXPECT_EQ(state.deletions, 1);
}

NT_TEST(ExTimer, DeletedAtDispatchLevelItGoesLater) {
  State state;
  Prepare(&state);
  EXT_DELETE_PARAMETERS parameters = DeleteParameters(&state);
  PEX_TIMER timer = ExAllocateTimer(Callback, &state, 0);
  NT_ASSERT_TRUE(timer != nullptr);
  ExSetTimer(timer, -60'000 * kMillisecond, 0, nullptr);
  KIRQL old;
  KeRaiseIrql(DISPATCH_LEVEL, &old);
  const BOOLEAN cancelled = ExDeleteTimer(timer, TRUE, FALSE, &parameters);
  KeLowerIrql(old);
  NT_EXPECT_TRUE(cancelled);
  NT_EXPECT_EQ(WaitFor(&state.deleted), STATUS_SUCCESS);
  NT_EXPECT_EQ(state.calls, 0);
}

NT_TEST(ExTimer, DeletedInItsCallback) {
  struct Own {
    State state;
    EXT_DELETE_PARAMETERS parameters;
  } own;
  Prepare(&own.state);
  own.parameters = DeleteParameters(&own.state);
  PEX_TIMER timer = ExAllocateTimer(
      [](PEX_TIMER timer, PVOID context) {
        ExDeleteTimer(timer, TRUE, FALSE, &static_cast<Own*>(context)->parameters);
      },
      &own, 0);
  NT_ASSERT_TRUE(timer != nullptr);
  ExSetTimer(timer, -kMillisecond, 5 * kMillisecond, nullptr);
  NT_EXPECT_EQ(WaitFor(&own.state.deleted), STATUS_SUCCESS);
  NT_EXPECT_EQ(own.state.deletions, 1);
}
