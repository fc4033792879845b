// Interrupt spin locks: IRQL, the lock, exclusion between processors. The test needs an interrupt line that
// no device uses; where none can be connected (a Windows that assigns resources itself) there is nothing to
// test.
#include "nt_test.h"
#include "threads.h"

namespace {

constexpr ULONG kFreeLine = 5;

BOOLEAN NTAPI NeverCalled(PKINTERRUPT, PVOID) {
  return FALSE;
}

class Interrupt {
 public:
  Interrupt() {
    KeInitializeSpinLock(&lock_);
    if (!NT_SUCCESS(IoConnectInterrupt(&object_, NeverCalled, nullptr, &lock_, kFreeLine, 3, 3, Latched,
                                       FALSE, KeQueryActiveProcessors(), FALSE)))
      object_ = nullptr;
  }
  ~Interrupt() {
    if (object_ != nullptr) IoDisconnectInterrupt(object_);
  }
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  PKINTERRUPT object() const { return object_; }
  KSPIN_LOCK* lock() { return &lock_; }

 private:
  KSPIN_LOCK lock_;
  PKINTERRUPT object_ = nullptr;
};

struct Seen {
  KSPIN_LOCK* lock;
  KIRQL irql;
  bool held;
  ULONG calls;
};

BOOLEAN NTAPI Look(PVOID context) {
  auto* seen = static_cast<Seen*>(context);
  seen->irql = KeGetCurrentIrql();
  seen->held = !KeTestSpinLock(seen->lock);
  ++seen->calls;
  return seen->calls == 1;
}

struct Shared {
  PKINTERRUPT interrupt;
  ULONG64 counter;  // guarded by the interrupt's lock, not interlocked
};
constexpr ULONG kRounds = 3000;

BOOLEAN NTAPI Count(PVOID context) {
  ++static_cast<Shared*>(context)->counter;
  return TRUE;
}

void NTAPI CountOften(PVOID context) {
  auto* shared = static_cast<Shared*>(context);
  for (ULONG i = 0; i < kRounds; ++i) {
    if (i % 2 == 0) {
      KeSynchronizeExecution(shared->interrupt, Count, shared);
      continue;
    }
    const KIRQL old = KeAcquireInterruptSpinLock(shared->interrupt);
    ++shared->counter;
    KeReleaseInterruptSpinLock(shared->interrupt, old);
  }
}

}  // namespace

NT_TEST(KeInterruptLock, RaisesToTheInterruptsIrqlAndHoldsItsLock) {
  Interrupt interrupt;
  if (interrupt.object() == nullptr) return;
  Seen seen = {interrupt.lock(), 0, false, 0};
  const KIRQL old = KeAcquireInterruptSpinLock(interrupt.object());
  const KIRQL inside = KeGetCurrentIrql();
  const BOOLEAN free_inside = KeTestSpinLock(interrupt.lock());
  KeReleaseInterruptSpinLock(interrupt.object(), old);
  NT_EXPECT_EQ(old, PASSIVE_LEVEL);
  NT_EXPECT_TRUE(inside > DISPATCH_LEVEL);
  NT_EXPECT_EQ(free_inside, FALSE);
  NT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
  NT_EXPECT_TRUE(KeSynchronizeExecution(interrupt.object(), Look, &seen));
  NT_EXPECT_EQ(seen.irql, inside);
  NT_EXPECT_TRUE(seen.held);
  NT_EXPECT_TRUE(!KeSynchronizeExecution(interrupt.object(), Look, &seen));
  NT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
  NT_EXPECT_EQ(KeTestSpinLock(interrupt.lock()), TRUE);
}

NT_TEST(KeInterruptLock, ExcludesTheOtherProcessors) {
  Interrupt interrupt;
  if (interrupt.object() == nullptr) return;
  Shared shared = {interrupt.object(), 0};
  {
    nt_test::Thread one(CountOften, &shared), two(CountOften, &shared), three(CountOften, &shared);
    NT_ASSERT_TRUE(one.started() && two.started() && three.started());
  }
  NT_EXPECT_EQ(shared.counter, 3 * kRounds);
}
