// Fast and guarded mutexes and what AutoBoost does for them. Oracle: the WDK pages; not yet run on a real NT.
#include "nt_test.h"
#include "threads.h"

NT_TEST(ExFastMutex, RaisesToApcLevelAndExcludes) {
  FAST_MUTEX mutex;
  ExInitializeFastMutex(&mutex);
  ExAcquireFastMutex(&mutex);
  NT_EXPECT_EQ(KeGetCurrentIrql(), APC_LEVEL);
  NT_EXPECT_TRUE(mutex.Owner == KeGetCurrentThread());
  NT_EXPECT_TRUE(!ExTryToAcquireFastMutex(&mutex));
  NT_EXPECT_EQ(KeGetCurrentIrql(), APC_LEVEL);
  ExReleaseFastMutex(&mutex);
  NT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
  NT_ASSERT_TRUE(ExTryToAcquireFastMutex(&mutex));
  ExReleaseFastMutex(&mutex);
  NT_EXPECT_EQ(mutex.Contention, 0);
}

NT_TEST(ExFastMutex, TheUnsafeFormLeavesTheIrqlAlone) {
  FAST_MUTEX mutex;
  ExInitializeFastMutex(&mutex);
  KIRQL old;
  KeRaiseIrql(APC_LEVEL, &old);
  ExAcquireFastMutexUnsafe(&mutex);
  NT_EXPECT_EQ(KeGetCurrentIrql(), APC_LEVEL);
  ExReleaseFastMutexUnsafe(&mutex);
  KeLowerIrql(old);
  ExEnterCriticalRegionAndAcquireFastMutexUnsafe(&mutex);
  NT_EXPECT_TRUE(KeAreApcsDisabled());
  NT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
  ExReleaseFastMutexUnsafeAndLeaveCriticalRegion(&mutex);
  NT_EXPECT_TRUE(!KeAreApcsDisabled());
}

NT_TEST(ExFastMutex, MoreAreHeldThanAThreadHasEntriesFor) {
  FAST_MUTEX mutexes[24];
  KIRQL old;
  KeRaiseIrql(APC_LEVEL, &old);
  for (auto& mutex : mutexes) {
    ExInitializeFastMutex(&mutex);
    ExAcquireFastMutexUnsafe(&mutex);
  }
  for (auto& mutex : mutexes) ExReleaseFastMutexUnsafe(&mutex);
  for (auto& mutex : mutexes) {
    NT_EXPECT_TRUE(ExTryToAcquireFastMutex(&mutex));
    ExReleaseFastMutex(&mutex);
  }
  KeLowerIrql(old);
}

NT_TEST(ExGuardedMutex, EntersAGuardedRegionAndExcludes) {
  KGUARDED_MUTEX mutex;
  KeInitializeGuardedMutex(&mutex);
  KeAcquireGuardedMutex(&mutex);
  NT_EXPECT_TRUE(KeAreAllApcsDisabled());
  NT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
  NT_EXPECT_TRUE(!KeTryToAcquireGuardedMutex(&mutex));
  KeReleaseGuardedMutex(&mutex);
  NT_EXPECT_TRUE(!KeAreAllApcsDisabled());
  NT_ASSERT_TRUE(KeTryToAcquireGuardedMutex(&mutex));
  KeReleaseGuardedMutex(&mutex);
  KeEnterGuardedRegion();
  KeAcquireGuardedMutexUnsafe(&mutex);
  KeReleaseGuardedMutexUnsafe(&mutex);
  KeLeaveGuardedRegion();
  NT_EXPECT_TRUE(!KeAreAllApcsDisabled());
}

namespace {

struct Waiting {
  FAST_MUTEX mutex;
  KEVENT go, about_to_wait;
  KPRIORITY waiters_priority;
  volatile LONG order;

  explicit Waiting(KPRIORITY priority) : waiters_priority(priority), order(0) {
    ExInitializeFastMutex(&mutex);
    KeInitializeEvent(&go, NotificationEvent, FALSE);
    KeInitializeEvent(&about_to_wait, SynchronizationEvent, FALSE);
  }
};

VOID NTAPI WaitForMutex(PVOID context) {
  auto* waiting = static_cast<Waiting*>(context);
  KeSetPriorityThread(KeGetCurrentThread(), waiting->waiters_priority);
  KeWaitForSingleObject(&waiting->go, Executive, KernelMode, FALSE, nullptr);
  KeSetEvent(&waiting->about_to_wait, 0, FALSE);
  ExAcquireFastMutex(&waiting->mutex);
  InterlockedIncrement(&waiting->order);
  ExReleaseFastMutex(&waiting->mutex);
}

// Lets the other thread go; until it has got as far as waiting for the mutex, which its count of waiters
// tells.
void AwaitWaiter(Waiting* waiting) {
  KeSetEvent(&waiting->go, 0, FALSE);
  KeWaitForSingleObject(&waiting->about_to_wait, Executive, KernelMode, FALSE, nullptr);
  while (*const_cast<volatile LONG*>(&waiting->mutex.Count) < 4) nt_test::Sleep(1);
}

}  // namespace

NT_TEST(ExFastMutex, AWaiterGetsItAfterTheRelease) {
  Waiting waiting(8);
  nt_test::Thread thread(WaitForMutex, &waiting);
  NT_ASSERT_TRUE(thread.started());
  ExAcquireFastMutex(&waiting.mutex);
  AwaitWaiter(&waiting);
  NT_EXPECT_EQ(waiting.order, 0);
  ExReleaseFastMutex(&waiting.mutex);
  thread.Join();
  NT_EXPECT_EQ(waiting.order, 1);
  NT_EXPECT_EQ(waiting.mutex.Contention, 1);
}

// The owner stays at PASSIVE_LEVEL, where it may ask for its priority and create threads.
NT_TEST(ExAutoBoost, AWaiterLendsItsPriorityToTheOwner) {
  Waiting waiting(14);
  const KPRIORITY before = KeSetPriorityThread(KeGetCurrentThread(), 9);
  nt_test::Thread thread(WaitForMutex, &waiting);
  NT_ASSERT_TRUE(thread.started());
  ExEnterCriticalRegionAndAcquireFastMutexUnsafe(&waiting.mutex);
  AwaitWaiter(&waiting);
  // The waiter has counted itself and lends next: nothing but its progress can make this true.
  while (KeQueryPriorityThread(KeGetCurrentThread()) != 14) nt_test::Sleep(1);
  ExReleaseFastMutexUnsafeAndLeaveCriticalRegion(&waiting.mutex);
  NT_EXPECT_TRUE(KeQueryPriorityThread(KeGetCurrentThread()) < 14);
  thread.Join();
  KeSetPriorityThread(KeGetCurrentThread(), before);
}

namespace {

struct Chain {
  FAST_MUTEX first;   // the middle thread's
  FAST_MUTEX second;  // the test's
  KEVENT owned;
};

VOID NTAPI OwnFirstAndWaitForSecond(PVOID context) {
  auto* chain = static_cast<Chain*>(context);
  KeSetPriorityThread(KeGetCurrentThread(), 9);
  ExAcquireFastMutex(&chain->first);
  KeSetEvent(&chain->owned, 0, FALSE);
  ExAcquireFastMutex(&chain->second);
  ExReleaseFastMutex(&chain->second);
  ExReleaseFastMutex(&chain->first);
}

VOID NTAPI WaitForFirst(PVOID context) {
  auto* chain = static_cast<Chain*>(context);
  KeSetPriorityThread(KeGetCurrentThread(), 14);
  ExAcquireFastMutex(&chain->first);
  ExReleaseFastMutex(&chain->first);
}

}  // namespace

NT_TEST(ExAutoBoost, AnOwnerThatWaitsPassesThePriorityOn) {
  Chain chain;
  ExInitializeFastMutex(&chain.first);
  ExInitializeFastMutex(&chain.second);
  KeInitializeEvent(&chain.owned, SynchronizationEvent, FALSE);
  const KPRIORITY before = KeSetPriorityThread(KeGetCurrentThread(), 9);
  ExEnterCriticalRegionAndAcquireFastMutexUnsafe(&chain.second);
  nt_test::Thread middle(OwnFirstAndWaitForSecond, &chain);
  KeWaitForSingleObject(&chain.owned, Executive, KernelMode, FALSE, nullptr);
  while (*const_cast<volatile LONG*>(&chain.second.Count) < 4) nt_test::Sleep(1);
  nt_test::Thread last(WaitForFirst, &chain);
  NT_ASSERT_TRUE(middle.started() && last.started());
  while (KeQueryPriorityThread(KeGetCurrentThread()) != 14) nt_test::Sleep(1);
  ExReleaseFastMutexUnsafeAndLeaveCriticalRegion(&chain.second);
  NT_EXPECT_TRUE(KeQueryPriorityThread(KeGetCurrentThread()) < 14);
  middle.Join();
  last.Join();
  KeSetPriorityThread(KeGetCurrentThread(), before);
}
