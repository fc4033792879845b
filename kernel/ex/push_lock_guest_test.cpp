// Push locks of every kind, and waiting on an address. Oracle: the WDK pages where there are some; not yet
// run on a real NT.
#include "nt_test.h"
#include "threads.h"

namespace {

class CriticalRegion {
 public:
  CriticalRegion() { KeEnterCriticalRegion(); }
  ~CriticalRegion() { KeLeaveCriticalRegion(); }
};

struct Contender {
  PULONG_PTR lock;
  bool exclusive;
  KEVENT done;
  volatile LONG* order;
  LONG place;
};

VOID NTAPI Contend(PVOID context) {
  auto* contender = static_cast<Contender*>(context);
  CriticalRegion region;
  if (contender->exclusive) {
    ExAcquirePushLockExclusiveEx(contender->lock, 0);
  } else {
    ExAcquirePushLockSharedEx(contender->lock, 0);
  }
  contender->place = InterlockedIncrement(contender->order);
  ExReleasePushLockEx(contender->lock, 0);
}

// Until one thread more waits: a waiter that comes changes the word, or the list behind it, which only a
// failing attempt shows.
void AwaitContention(PULONG_PTR lock) {
  while ((*const_cast<volatile ULONG_PTR*>(lock) & 2) == 0) nt_test::Sleep(1);
}

}  // namespace

NT_TEST(ExPushLock, ExcludesWritersAndLetsReadersShare) {
  ULONG_PTR lock;
  ExInitializePushLock(&lock);
  CriticalRegion region;
  ExAcquirePushLockSharedEx(&lock, 0);
  NT_EXPECT_TRUE(ExTryAcquirePushLockSharedEx(&lock, 0));
  NT_EXPECT_TRUE(!ExTryAcquirePushLockExclusiveEx(&lock, 0));
  NT_EXPECT_TRUE(!ExTryConvertPushLockSharedToExclusiveEx(&lock, 0));
  ExReleasePushLockSharedEx(&lock, 0);
  NT_EXPECT_TRUE(ExTryConvertPushLockSharedToExclusiveEx(&lock, 0));
  NT_EXPECT_TRUE(!ExTryAcquirePushLockSharedEx(&lock, 0));
  ExReleasePushLockExclusiveEx(&lock, 0);
  NT_EXPECT_EQ(lock, 0);
  NT_EXPECT_TRUE(ExTryAcquirePushLockExclusiveEx(&lock, 0));
  ExReleasePushLockEx(&lock, 0);
  ExAcquirePushLockSharedEx(&lock, 0);
  ExReleasePushLockEx(&lock, 0);
  NT_EXPECT_EQ(lock, 0);
}

NT_TEST(ExPushLock, UntrackedAcquisitionsNeedNoEntry) {
  ULONG_PTR lock = 0;
  CriticalRegion region;
  ExAcquirePushLockExclusiveEx(&lock, 1);
  ExReleasePushLockExclusiveEx(&lock, 1);
  ExAcquirePushLockSharedEx(&lock, 2);
  ExReleasePushLockSharedEx(&lock, 2);
  NT_EXPECT_EQ(lock, 0);
}

NT_TEST(ExPushLock, TheOlderFormsWork) {
  ULONG_PTR lock = 0;
  CriticalRegion region;
  ExfAcquirePushLockExclusive(&lock);
  NT_EXPECT_TRUE(!ExfTryAcquirePushLockShared(&lock));
  ExfReleasePushLockExclusive(&lock);
  ExfAcquirePushLockShared(&lock);
  NT_EXPECT_TRUE(ExfTryAcquirePushLockShared(&lock));
  ExfReleasePushLockShared(&lock);
  ExfReleasePushLock(&lock);
  NT_EXPECT_EQ(lock, 0);
  ExfTryToWakePushLock(&lock);
  NT_EXPECT_EQ(lock, 0);
}

NT_TEST(ExPushLock, AWriterThatWaitsIsNotOvertakenByReaders) {
  ULONG_PTR lock = 0;
  volatile LONG order = 0;
  CriticalRegion region;
  ExAcquirePushLockSharedEx(&lock, 0);
  Contender writer = {&lock, true, {}, &order, 0};
  nt_test::Thread thread(Contend, &writer);
  NT_ASSERT_TRUE(thread.started());
  AwaitContention(&lock);
  NT_EXPECT_TRUE(!ExTryAcquirePushLockSharedEx(&lock, 0));
  NT_EXPECT_EQ(order, 0);
  ExReleasePushLockSharedEx(&lock, 0);
  thread.Join();
  NT_EXPECT_EQ(writer.place, 1);
  NT_EXPECT_EQ(lock, 0);
}

NT_TEST(ExPushLock, AReleaseByHandWakesThroughExfTryToWake) {
  ULONG_PTR lock = 0;
  volatile LONG order = 0;
  CriticalRegion region;
  ExfAcquirePushLockExclusive(&lock);
  Contender reader = {&lock, false, {}, &order, 0};
  nt_test::Thread thread(Contend, &reader);
  NT_ASSERT_TRUE(thread.started());
  AwaitContention(&lock);
  InterlockedAnd64(reinterpret_cast<volatile LONG64*>(&lock), ~1ll);
  ExfTryToWakePushLock(&lock);
  thread.Join();
  NT_EXPECT_EQ(reader.place, 1);
  NT_EXPECT_EQ(lock, 0);
}

NT_TEST(ExWidePushLock, ACacheAwareLockExcludesOnAllProcessors) {
  PVOID lock = ExAllocateCacheAwarePushLock(0);
  NT_ASSERT_TRUE(lock != nullptr);
  CriticalRegion region;
  PULONG_PTR taken = ExAcquireCacheAwarePushLockSharedEx(lock, 0);
  NT_EXPECT_TRUE(!ExTryAcquireCacheAwarePushLockExclusiveEx(lock, 0));
  ExReleaseCacheAwarePushLockSharedEx(taken, 0);
  ExAcquireCacheAwarePushLockExclusiveEx(lock, 0);
  NT_EXPECT_TRUE(ExTryAcquireCacheAwarePushLockSharedEx(lock, 0) == nullptr);
  ExReleaseCacheAwarePushLockExclusiveEx(lock, 0);
  NT_EXPECT_TRUE(ExTryAcquireCacheAwarePushLockExclusiveEx(lock, 0));
  ExReleaseCacheAwarePushLockExclusive(lock);
  ExAcquireCacheAwarePushLockExclusive(lock);
  ExReleaseCacheAwarePushLockExclusive(lock);
  ExFreeCacheAwarePushLock(lock);
}

namespace {

VOID NTAPI ReadShared(PVOID context) {
  auto* lock = static_cast<PEX_PUSH_LOCK_AUTO_EXPAND>(context);
  CriticalRegion region;
  PVOID taken = ExAcquireAutoExpandPushLockShared(lock, 0);
  ExReleaseAutoExpandPushLockShared(taken, 0);
}

}  // namespace

NT_TEST(ExWidePushLock, AnAutoExpandLockExpandsUnderContention) {
  EX_PUSH_LOCK_AUTO_EXPAND lock;
  ExInitializeAutoExpandPushLock(&lock, 0);
  CriticalRegion region;
  for (int round = 0; round < 16; ++round) {
    ExAcquireAutoExpandPushLockExclusive(&lock, 0);
    NT_EXPECT_EQ(lock.State & 1, 0);
    nt_test::Thread reader(ReadShared, &lock);
    NT_ASSERT_TRUE(reader.started());
    AwaitContention(&lock.LocalLock);
    ExReleaseAutoExpandPushLockExclusive(&lock, 0);
  }
  ExAcquireAutoExpandPushLockExclusive(&lock, 0);
  NT_EXPECT_EQ(lock.State & 1, 1);
  NT_EXPECT_TRUE(ExTryAcquireAutoExpandPushLockShared(&lock, 0) == nullptr);
  NT_EXPECT_TRUE(!ExTryAcquireAutoExpandPushLockExclusive(&lock, 0));
  ExReleaseAutoExpandPushLockExclusive(&lock, 0);
  PVOID taken = ExTryAcquireAutoExpandPushLockShared(&lock, 0);
  NT_ASSERT_TRUE(taken != nullptr);
  ExReleaseAutoExpandPushLockShared(taken, 0);
  NT_EXPECT_TRUE(ExTryAcquireAutoExpandPushLockExclusive(&lock, 0));
  ExReleaseAutoExpandPushLockExclusive(&lock, 0);
  ExCleanupAutoExpandPushLock(&lock);
}

namespace {

struct Address {
  ULONG_PTR list;
  volatile LONG value;
  volatile LONG woken;
};

VOID NTAPI WaitWhileZero(PVOID context) {
  auto* address = static_cast<Address*>(context);
  LONG zero = 0;
  while (address->value == 0)
    ExBlockOnAddressPushLock(&address->list, &address->value, &zero, sizeof(zero), nullptr);
  InterlockedIncrement(&address->woken);
}

}  // namespace

NT_TEST(ExBlockOnAddress, TimesOutAndReturnsAtOnceWhenTheValueDiffers) {
  Address address = {};
  LONG compare = 0;
  LARGE_INTEGER soon = nt_test::Milliseconds(1);
  NT_EXPECT_EQ(ExBlockOnAddressPushLock(&address.list, &address.value, &compare, 4, &soon), STATUS_TIMEOUT);
  compare = 1;
  NT_EXPECT_EQ(ExBlockOnAddressPushLock(&address.list, &address.value, &compare, 4, nullptr), STATUS_SUCCESS);
  NT_EXPECT_EQ(address.list, 0);
}

NT_TEST(ExBlockOnAddress, UnblockWakesAllWhoWait) {
  Address address = {};
  nt_test::Thread first(WaitWhileZero, &address);
  nt_test::Thread second(WaitWhileZero, &address);
  NT_ASSERT_TRUE(first.started() && second.started());
  nt_test::Sleep(2);
  ExUnblockOnAddressPushLockEx(&address.list, &address.woken, 0);  // another address
  NT_EXPECT_EQ(address.woken, 0);
  InterlockedExchange(&address.value, 1);
  ExUnblockOnAddressPushLockEx(&address.list, &address.value, 0);
  first.Join();
  second.Join();
  NT_EXPECT_EQ(address.woken, 2);
  InterlockedExchange(&address.value, 0);
  nt_test::Thread third(WaitWhileZero, &address);
  nt_test::Sleep(2);
  InterlockedExchange(&address.value, 1);
  ExfUnblockPushLock(&address.list, nullptr);
  third.Join();
  NT_EXPECT_EQ(address.woken, 3);
  NT_EXPECT_EQ(address.list, 0);
}
