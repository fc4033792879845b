// ERESOURCE. Oracle: the WDK pages; not yet run on a real NT.
#include "nt_test.h"
#include "threads.h"

namespace {

// A resource in a critical region, deleted at the end.
class Resource {
 public:
  Resource() {
    ExInitializeResourceLite(&resource_);
    KeEnterCriticalRegion();
  }
  ~Resource() {
    KeLeaveCriticalRegion();
    ExDeleteResourceLite(&resource_);
  }
  operator PERESOURCE() { return &resource_; }
  ERESOURCE* operator->() { return &resource_; }

 private:
  ERESOURCE resource_;
};

using Acquire = BOOLEAN(NTAPI*)(PERESOURCE, BOOLEAN);

struct Owner {
  PERESOURCE resource;
  Acquire acquire;
  volatile LONG* owners;
  KEVENT* let_go;
};

VOID NTAPI Own(PVOID context) {
  auto* owner = static_cast<Owner*>(context);
  KeEnterCriticalRegion();
  owner->acquire(owner->resource, TRUE);
  InterlockedIncrement(owner->owners);
  if (owner->let_go != nullptr) KeWaitForSingleObject(owner->let_go, Executive, KernelMode, FALSE, nullptr);
  InterlockedDecrement(owner->owners);
  ExReleaseResourceLite(owner->resource);
  KeLeaveCriticalRegion();
}

void AwaitWaiters(PERESOURCE resource, ULONG exclusive, ULONG shared) {
  while (ExGetExclusiveWaiterCount(resource) != exclusive || ExGetSharedWaiterCount(resource) != shared)
    nt_test::Sleep(1);
}
void AwaitOwners(volatile LONG* owners, LONG count) {
  while (*owners != count) nt_test::Sleep(1);
}

}  // namespace

NT_TEST(ExResource, CountsItsOwnersAcquisitions) {
  Resource resource;
  NT_EXPECT_TRUE(ExAcquireResourceSharedLite(resource, FALSE));
  NT_EXPECT_TRUE(ExAcquireResourceSharedLite(resource, FALSE));
  NT_EXPECT_TRUE(ExAcquireSharedStarveExclusive(resource, FALSE));
  NT_EXPECT_TRUE(ExAcquireSharedWaitForExclusive(resource, FALSE));
  NT_EXPECT_EQ(ExIsResourceAcquiredSharedLite(resource), 4);
  NT_EXPECT_TRUE(!ExIsResourceAcquiredExclusiveLite(resource));
  NT_EXPECT_TRUE(!ExAcquireResourceExclusiveLite(resource, FALSE));
  for (int i = 0; i < 4; ++i) ExReleaseResourceLite(resource);
  NT_EXPECT_TRUE(ExAcquireResourceExclusiveLite(resource, FALSE));
  NT_EXPECT_TRUE(ExAcquireResourceExclusiveLite(resource, FALSE));
  NT_EXPECT_TRUE(ExAcquireResourceSharedLite(resource, FALSE));
  NT_EXPECT_TRUE(ExIsResourceAcquiredExclusiveLite(resource));
  NT_EXPECT_EQ(ExIsResourceAcquiredSharedLite(resource), 3);
  ExReleaseResourceLite(resource);
  ExReleaseResourceLite(resource);
  NT_EXPECT_EQ(resource->ActiveEntries, 1);
  ExConvertExclusiveToSharedLite(resource);
  NT_EXPECT_TRUE(!ExIsResourceAcquiredExclusiveLite(resource));
  NT_EXPECT_EQ(ExIsResourceAcquiredSharedLite(resource), 1);
  ExReleaseResourceLite(resource);
  NT_EXPECT_EQ(ExIsResourceAcquiredSharedLite(resource), 0);
  NT_EXPECT_EQ(resource->ActiveEntries, 0);
}

NT_TEST(ExResource, IsOneOfTheSystemsAndCanBeReinitialized) {
  ERESOURCE resource;
  NT_ASSERT_SUCCESS(ExInitializeResourceLite(&resource));
  NT_EXPECT_TRUE(resource.SystemResourcesList.Flink->Blink == &resource.SystemResourcesList);
  NT_EXPECT_SUCCESS(ExReinitializeResourceLite(&resource));
  ExDisableResourceBoostLite(&resource);
  NT_EXPECT_TRUE(resource.SystemResourcesList.Blink->Flink == &resource.SystemResourcesList);
  NT_EXPECT_SUCCESS(ExDeleteResourceLite(&resource));
}

NT_TEST(ExResource, AnExclusiveWaiterGoesBeforeNewSharersButStarveExclusivePasses) {
  Resource resource;
  volatile LONG owners = 0;
  NT_EXPECT_TRUE(ExAcquireResourceSharedLite(resource, TRUE));
  Owner writer = {resource, ExAcquireResourceExclusiveLite, &owners, nullptr};
  nt_test::Thread writing(Own, &writer);
  AwaitWaiters(resource, 1, 0);
  Owner reader = {resource, ExAcquireResourceSharedLite, &owners, nullptr};
  nt_test::Thread reading(Own, &reader);
  AwaitWaiters(resource, 1, 1);
  KEVENT let_go;
  KeInitializeEvent(&let_go, NotificationEvent, FALSE);
  Owner starver = {resource, ExAcquireSharedStarveExclusive, &owners, &let_go};
  nt_test::Thread starving(Own, &starver);
  AwaitOwners(&owners, 1);
  NT_EXPECT_TRUE(ExAcquireResourceSharedLite(resource, FALSE));  // has it already
  NT_EXPECT_TRUE(!ExAcquireSharedWaitForExclusive(resource, FALSE));
  ExReleaseResourceLite(resource);
  ExReleaseResourceLite(resource);
  KeSetEvent(&let_go, 0, FALSE);
  writing.Join();
  reading.Join();
  starving.Join();
  NT_EXPECT_EQ(resource->ContentionCount, 2);
}

NT_TEST(ExResource, ConvertingLetsAllSharersIn) {
  Resource resource;
  volatile LONG owners = 0;
  KEVENT let_go;
  KeInitializeEvent(&let_go, NotificationEvent, FALSE);
  NT_EXPECT_TRUE(ExAcquireResourceExclusiveLite(resource, TRUE));
  Owner reader = {resource, ExAcquireResourceSharedLite, &owners, &let_go};
  nt_test::Thread first(Own, &reader);
  nt_test::Thread second(Own, &reader);
  AwaitWaiters(resource, 0, 2);
  ExConvertExclusiveToSharedLite(resource);
  AwaitOwners(&owners, 2);
  NT_EXPECT_EQ(resource->ActiveEntries, 3);
  KeSetEvent(&let_go, 0, FALSE);
  first.Join();
  second.Join();
  ExReleaseResourceLite(resource);
}

NT_TEST(ExResource, TheOwnerTableGrowsWithItsSharers) {
  Resource resource;
  volatile LONG owners = 0;
  KEVENT let_go;
  KeInitializeEvent(&let_go, NotificationEvent, FALSE);
  Owner reader = {resource, ExAcquireResourceSharedLite, &owners, &let_go};
  {
    nt_test::Thread threads[12] = {{Own, &reader}, {Own, &reader}, {Own, &reader}, {Own, &reader},
                                   {Own, &reader}, {Own, &reader}, {Own, &reader}, {Own, &reader},
                                   {Own, &reader}, {Own, &reader}, {Own, &reader}, {Own, &reader}};
    LONG started = 0;
    for (const nt_test::Thread& thread : threads) started += thread.started();
    NT_EXPECT_EQ(started, 12);
    AwaitOwners(&owners, started);
    NT_EXPECT_EQ(resource->ActiveEntries, static_cast<ULONG>(started));
    NT_EXPECT_TRUE(!ExAcquireResourceExclusiveLite(resource, FALSE));
    KeSetEvent(&let_go, 0, FALSE);
  }
  NT_EXPECT_EQ(resource->ActiveEntries, 0);
  NT_EXPECT_TRUE(ExAcquireResourceExclusiveLite(resource, FALSE));
  ExReleaseResourceLite(resource);
}

NT_TEST(ExResource, OwnershipCanBeGivenToAPointer) {
  Resource resource;
  ULONG_PTR storage = 0;
  PVOID pointer = reinterpret_cast<PVOID>(reinterpret_cast<ULONG_PTR>(&storage) | 3);
  const auto id = reinterpret_cast<ERESOURCE_THREAD>(pointer);
  NT_EXPECT_TRUE(ExAcquireResourceExclusiveLite(resource, TRUE));
  ExSetResourceOwnerPointer(resource, pointer);
  NT_EXPECT_TRUE(!ExIsResourceAcquiredExclusiveLite(resource));
  NT_EXPECT_TRUE(!ExAcquireResourceSharedLite(resource, FALSE));
  ExReleaseResourceForThreadLite(resource, id);
  NT_EXPECT_EQ(resource->ActiveEntries, 0);
  NT_EXPECT_TRUE(ExAcquireResourceSharedLite(resource, TRUE));
  ExSetResourceOwnerPointerEx(resource, pointer, 0);
  NT_EXPECT_TRUE(ExAcquireResourceSharedLite(resource, TRUE));
  ExSetResourceOwnerPointerEx(resource, pointer, 0);  // counted together
  NT_EXPECT_EQ(resource->ActiveEntries, 1);
  ExReleaseResourceForThreadLite(resource, id);
  NT_EXPECT_EQ(resource->ActiveEntries, 1);
  ExReleaseResourceForThreadLite(resource, id);
  NT_EXPECT_EQ(resource->ActiveEntries, 0);
  const ERESOURCE_THREAD self = ExGetCurrentResourceThread();
  NT_EXPECT_TRUE(ExAcquireResourceExclusiveLite(resource, TRUE));
  ExSetResourceOwnerPointerEx(resource, reinterpret_cast<PVOID>(self | 3), FLAG_OWNER_POINTER_IS_THREAD);
  ExReleaseResourceForThreadLite(resource, self | 3);
  NT_EXPECT_TRUE(ExAcquireResourceExclusiveLite(resource, FALSE));
  ExReleaseResourceForThreadLite(resource, self);
}

NT_TEST(ExResource, RegionsAreEnteredAndLeftWithIt) {
  ERESOURCE resource;
  NT_ASSERT_SUCCESS(ExInitializeResourceLite(&resource));
  ExEnterCriticalRegionAndAcquireResourceShared(&resource);
  NT_EXPECT_TRUE(KeAreApcsDisabled());
  NT_EXPECT_EQ(ExIsResourceAcquiredSharedLite(&resource), 1);
  ExReleaseResourceAndLeaveCriticalRegion(&resource);
  ExEnterCriticalRegionAndAcquireSharedWaitForExclusive(&resource);
  ExReleaseResourceAndLeaveCriticalRegion(&resource);
  ExEnterCriticalRegionAndAcquireResourceExclusive(&resource);
  NT_EXPECT_TRUE(ExIsResourceAcquiredExclusiveLite(&resource));
  ExReleaseResourceAndLeaveCriticalRegion(&resource);
  NT_EXPECT_TRUE(!KeAreApcsDisabled());
  ExEnterPriorityRegionAndAcquireResourceExclusive(&resource);
  ExReleaseResourceAndLeavePriorityRegion(&resource);
  ExEnterPriorityRegionAndAcquireResourceShared(&resource);
  ExReleaseResourceAndLeavePriorityRegion(&resource);
  NT_EXPECT_TRUE(!KeAreApcsDisabled());
  NT_EXPECT_SUCCESS(ExDeleteResourceLite(&resource));
}

namespace {

struct Boost {
  PERESOURCE resource;
};

VOID NTAPI WaitWithHighPriority(PVOID context) {
  auto* boost = static_cast<Boost*>(context);
  KeSetPriorityThread(KeGetCurrentThread(), 15);
  ExEnterCriticalRegionAndAcquireResourceExclusive(boost->resource);
  ExReleaseResourceAndLeaveCriticalRegion(boost->resource);
}

}  // namespace

NT_TEST(ExResource, AWaiterLendsItsPriorityToTheOwners) {
  Resource resource;
  Boost boost = {resource};
  const KPRIORITY before = KeSetPriorityThread(KeGetCurrentThread(), 9);
  NT_EXPECT_TRUE(ExAcquireResourceSharedLite(resource, TRUE));
  nt_test::Thread thread(WaitWithHighPriority, &boost);
  AwaitWaiters(resource, 1, 0);
  while (KeQueryPriorityThread(KeGetCurrentThread()) != 15) nt_test::Sleep(1);
  ExReleaseResourceLite(resource);
  NT_EXPECT_TRUE(KeQueryPriorityThread(KeGetCurrentThread()) < 15);
  thread.Join();
  KeSetPriorityThread(KeGetCurrentThread(), before);
}

namespace {

PVOID PointerTo(PVOID thread) {
  return reinterpret_cast<PVOID>(reinterpret_cast<ULONG_PTR>(thread) | 3);
}
KPRIORITY PriorityOf(PVOID thread) {
  return KeQueryPriorityThread(static_cast<PKTHREAD>(thread));
}

// The resource belongs to `thread` by a pointer: who waits for it boosts the thread until the release.
void ExpectBoost(PERESOURCE resource, PVOID thread) {
  Boost boost = {resource};
  NT_EXPECT_TRUE(ExAcquireResourceExclusiveLite(resource, TRUE));
  ExSetResourceOwnerPointerEx(resource, PointerTo(thread), FLAG_OWNER_POINTER_IS_THREAD);
  nt_test::Thread waiter(WaitWithHighPriority, &boost);
  while (PriorityOf(thread) != 15) nt_test::Sleep(1);
  ExReleaseResourceForThreadLite(resource, reinterpret_cast<ERESOURCE_THREAD>(PointerTo(thread)));
  NT_EXPECT_TRUE(PriorityOf(thread) < 15);
}

VOID NTAPI AwaitEvent(PVOID event) {
  KeSetPriorityThread(KeGetCurrentThread(), 9);
  KeWaitForSingleObject(event, Executive, KernelMode, FALSE, nullptr);
}

}  // namespace

NT_TEST(ExResource, AWaiterLendsItsPriorityToTheThreadThatAPointerNames) {
  Resource resource;
  const KPRIORITY before = KeSetPriorityThread(KeGetCurrentThread(), 9);
  ExpectBoost(resource, KeGetCurrentThread());
  KEVENT end;
  KeInitializeEvent(&end, NotificationEvent, FALSE);
  nt_test::Thread other(AwaitEvent, &end);
  NT_ASSERT_TRUE(other.started());
  while (PriorityOf(other.object()) != 9) nt_test::Sleep(1);  // from now on it leaves its priority alone
  ExpectBoost(resource, other.object());
  // The release may come after the thread's end.
  PVOID pointer = PointerTo(other.object());
  NT_EXPECT_TRUE(ExAcquireResourceExclusiveLite(resource, TRUE));
  ExSetResourceOwnerPointerEx(resource, pointer, FLAG_OWNER_POINTER_IS_THREAD);
  KeSetEvent(&end, 0, FALSE);
  other.Join();
  nt_test::Sleep(5);
  ExReleaseResourceForThreadLite(resource, reinterpret_cast<ERESOURCE_THREAD>(pointer));
  NT_EXPECT_EQ(resource->ActiveEntries, 0);
  KeSetPriorityThread(KeGetCurrentThread(), before);
}
