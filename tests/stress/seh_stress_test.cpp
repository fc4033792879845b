// Exceptions on all processors at once: every function of the table keeps its order of events, whoever is
// preempted where.
#include "nt_stress.h"
#include "seh_cases.h"

namespace {

struct Shared {
  volatile LONG wrong;
  volatile LONG wrong_case;
  volatile LONG runs[64];
};

bool SameText(const char* a, const char* b) {
  for (; *a != 0 && *a == *b; ++a, ++b) {
  }
  return *a == *b;
}

void RunCases(nt_stress::Worker& worker) {
  auto* shared = static_cast<Shared*>(worker.context);
  while (StressGoesOn()) {
    const ULONG index = worker.random.Below(kSehCaseCount);
    SehLog log = {};
    kSehCases[index].run(&log);
    if (!SameText(log.text, kSehCases[index].expected)) {
      InterlockedIncrement(&shared->wrong);
      shared->wrong_case = static_cast<LONG>(index);
    }
    InterlockedIncrement(&shared->runs[index]);
    ++worker.count;
  }
}

// Stack traces from DPCs that interrupt all of it.
VOID NTAPI TraceStack(PKDPC, PVOID context, PVOID, PVOID) {
  PVOID frames[48];
  if (RtlWalkFrameChain(frames, 48, 0) < 3) InterlockedIncrement(static_cast<volatile LONG*>(context));
}

void RunAll(nt_stress::Place place, ULONG workers_each) {
  static Shared shared;
  RtlZeroMemory(&shared, sizeof shared);
  nt_stress::Workers workers(workers_each * nt_stress::Processors(), RunCases, &shared, place);
  workers.Join();
  if (shared.wrong != 0) DbgPrint("[test] among others: %s\n", kSehCases[shared.wrong_case].name);
  NT_EXPECT_EQ(shared.wrong, 0);
  ULONG64 total = 0;
  for (LONG runs : shared.runs) total += static_cast<ULONG64>(runs);
  NT_EXPECT_EQ(total, workers.Total());
}

}  // namespace

NT_TEST(StressSeh, EventsKeepTheirOrderOnEveryProcessor) {
  RunAll(nt_stress::Place::kPinned, 1);
}

NT_TEST(StressSeh, EventsKeepTheirOrderUnderPreemption) {
  RunAll(nt_stress::Place::kAnywhere, 3);
}

NT_TEST(StressSeh, TracesFromDpcsWhileExceptionsAreHandled) {
  static KDPC dpc;
  static KTIMER timer;
  static volatile LONG short_traces;
  short_traces = 0;
  KeInitializeDpc(&dpc, TraceStack, const_cast<LONG*>(&short_traces));
  KeInitializeTimerEx(&timer, SynchronizationTimer);
  LARGE_INTEGER due;
  due.QuadPart = -10000;
  KeSetTimerEx(&timer, due, 1, &dpc);
  RunAll(nt_stress::Place::kPinned, 1);
  KeCancelTimer(&timer);
  KeFlushQueuedDpcs();
  NT_EXPECT_EQ(short_traces, 0);
}
