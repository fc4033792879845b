// Spin locks under pressure: nobody else in the critical section, ever.
#include "nt_stress.h"

namespace {

struct Shared {
  KSPIN_LOCK lock;
  ULONG64 counter;  // guarded by the lock, not interlocked
  volatile LONG inside;
  volatile LONG intruders;
};

void Increment(nt_stress::Worker& worker) {
  auto* shared = static_cast<Shared*>(worker.context);
  while (StressGoesOn()) {
    KIRQL old;
    KeAcquireSpinLock(&shared->lock, &old);
    if (InterlockedIncrement(&shared->inside) != 1) InterlockedIncrement(&shared->intruders);
    ++shared->counter;
    InterlockedDecrement(&shared->inside);
    KeReleaseSpinLock(&shared->lock, old);
    ++worker.count;
    for (ULONG pause = worker.random.Below(32); pause != 0; --pause) YieldProcessor();
  }
}

}  // namespace

NT_TEST(StressSpinLock, PlainLockExcludes) {
  Shared shared = {};
  KeInitializeSpinLock(&shared.lock);
  nt_stress::Workers workers(nt_stress::Processors(), Increment, &shared);
  workers.Join();
  NT_EXPECT_EQ(shared.counter, workers.Total());
  NT_EXPECT_EQ(shared.intruders, 0);
  NT_EXPECT_TRUE(workers.Smallest() != 0);
}
