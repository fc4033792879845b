// Locks with an owning thread under pressure: nobody else inside, ever, and everybody gets in.
#include "nt_stress.h"

namespace {

// What every lock guards: a counter that is not interlocked, and who is inside.
struct Guarded {
  ULONG64 counter;
  volatile LONG writers;
  volatile LONG readers;
  volatile LONG intruders;
};

void Write(Guarded* guarded) {
  if (InterlockedIncrement(&guarded->writers) != 1 || guarded->readers != 0)
    InterlockedIncrement(&guarded->intruders);
  ++guarded->counter;
  InterlockedDecrement(&guarded->writers);
}
void Read(Guarded* guarded) {
  InterlockedIncrement(&guarded->readers);
  if (guarded->writers != 0) InterlockedIncrement(&guarded->intruders);
  InterlockedDecrement(&guarded->readers);
}
void Pause(nt_stress::Worker& worker) {
  for (ULONG pause = worker.random.Below(32); pause != 0; --pause) YieldProcessor();
}

// `count` of the workers is what they wrote.
template <typename Shared>
void ExpectExact(nt_stress::Workers& workers, const Shared& shared) {
  workers.Join();
  NT_EXPECT_EQ(shared.guarded.counter, workers.Total());
  NT_EXPECT_EQ(shared.guarded.intruders, 0);
  NT_EXPECT_TRUE(workers.Smallest() != 0);
}

struct FastMutex {
  Guarded guarded;
  FAST_MUTEX mutex;
  KGUARDED_MUTEX guarded_mutex;
};

}  // namespace

NT_TEST(StressFastMutex, OneOwnerAtATime) {
  FastMutex shared = {};
  ExInitializeFastMutex(&shared.mutex);
  nt_stress::Workers workers(
      nt_stress::Processors() * 2,
      [](nt_stress::Worker& worker) {
        auto* shared = static_cast<FastMutex*>(worker.context);
        do {
          if (worker.random.OneIn(4)) {
            if (!ExTryToAcquireFastMutex(&shared->mutex)) continue;
          } else {
            ExAcquireFastMutex(&shared->mutex);
          }
          Write(&shared->guarded);
          ExReleaseFastMutex(&shared->mutex);
          ++worker.count;
          Pause(worker);
        } while (StressGoesOn());
      },
      &shared);
  workers.Join();
  NT_EXPECT_EQ(shared.guarded.counter, workers.Total());
  NT_EXPECT_EQ(shared.guarded.intruders, 0);
  NT_EXPECT_EQ(shared.mutex.Count, 1);
}

NT_TEST(StressGuardedMutex, OneOwnerAtATime) {
  FastMutex shared = {};
  KeInitializeGuardedMutex(&shared.guarded_mutex);
  nt_stress::Workers workers(
      nt_stress::Processors() * 2,
      [](nt_stress::Worker& worker) {
        auto* shared = static_cast<FastMutex*>(worker.context);
        do {
          KeAcquireGuardedMutex(&shared->guarded_mutex);
          Write(&shared->guarded);
          KeReleaseGuardedMutex(&shared->guarded_mutex);
          ++worker.count;
          Pause(worker);
        } while (StressGoesOn());
      },
      &shared);
  ExpectExact(workers, shared);
  NT_EXPECT_EQ(shared.guarded_mutex.Count, 1);
}

namespace {

struct PushLock {
  Guarded guarded;
  ULONG_PTR lock;
  PVOID wide;
  EX_PUSH_LOCK_AUTO_EXPAND expanding;
  volatile LONG writer_done;
};

void PushLockRound(PushLock* shared, nt_stress::Worker& worker) {
  switch (worker.random.Below(8)) {
    case 0:
    case 1:
      ExAcquirePushLockExclusiveEx(&shared->lock, 0);
      break;
    case 2:
      if (!ExTryAcquirePushLockExclusiveEx(&shared->lock, 0)) return;
      break;
    case 3:  // a reader that wants to write
      ExAcquirePushLockSharedEx(&shared->lock, 0);
      Read(&shared->guarded);
      if (ExTryConvertPushLockSharedToExclusiveEx(&shared->lock, 0)) break;
      ExReleasePushLockSharedEx(&shared->lock, 0);
      return;
    default:
      ExAcquirePushLockSharedEx(&shared->lock, 0);
      Read(&shared->guarded);
      Pause(worker);
      ExReleasePushLockEx(&shared->lock, 0);
      return;
  }
  Write(&shared->guarded);
  ++worker.count;
  ExReleasePushLockExclusiveEx(&shared->lock, 0);
}

}  // namespace

NT_TEST(StressPushLock, WritersAloneReadersTogether) {
  PushLock shared = {};
  nt_stress::Workers workers(
      nt_stress::Processors() * 2,
      [](nt_stress::Worker& worker) {
        auto* shared = static_cast<PushLock*>(worker.context);
        KeEnterCriticalRegion();
        // Whatever the seed: every worker has to get it for writing once at least.
        ExAcquirePushLockExclusiveEx(&shared->lock, 0);
        Write(&shared->guarded);
        ++worker.count;
        ExReleasePushLockExclusiveEx(&shared->lock, 0);
        while (StressGoesOn()) PushLockRound(shared, worker);
        KeLeaveCriticalRegion();
      },
      &shared);
  ExpectExact(workers, shared);
  NT_EXPECT_EQ(shared.lock, 0);
}

// One writer against readers that go on until it has been in often enough: were it starved, this would never
// end.
NT_TEST(StressPushLock, AWriterGetsInAmongReaders) {
  static constexpr ULONG64 kEnough = 8;
  PushLock shared = {};
  nt_stress::Workers workers(
      nt_stress::Processors() * 2 + 1,
      [](nt_stress::Worker& worker) {
        auto* shared = static_cast<PushLock*>(worker.context);
        KeEnterCriticalRegion();
        if (worker.index == 0) {
          do {
            ExAcquirePushLockExclusiveEx(&shared->lock, 0);
            Write(&shared->guarded);
            ExReleasePushLockExclusiveEx(&shared->lock, 0);
            ++worker.count;
          } while (worker.count < kEnough || StressGoesOn());
          InterlockedExchange(&shared->writer_done, 1);
        } else {
          do {
            ExAcquirePushLockSharedEx(&shared->lock, 0);
            Read(&shared->guarded);
            for (ULONG i = worker.random.Below(256); i != 0; --i) YieldProcessor();
            ExReleasePushLockSharedEx(&shared->lock, 0);
          } while (shared->writer_done == 0);
        }
        KeLeaveCriticalRegion();
      },
      &shared);
  workers.Join();
  NT_EXPECT_EQ(shared.guarded.counter, workers[0].count);
  NT_EXPECT_EQ(shared.guarded.intruders, 0);
  NT_EXPECT_EQ(shared.lock, 0);
}

NT_TEST(StressWidePushLock, WritersAloneReadersTogether) {
  PushLock shared = {};
  shared.wide = ExAllocateCacheAwarePushLock(0);
  NT_ASSERT_TRUE(shared.wide != nullptr);
  nt_stress::Workers workers(
      nt_stress::Processors() * 2,
      [](nt_stress::Worker& worker) {
        auto* shared = static_cast<PushLock*>(worker.context);
        KeEnterCriticalRegion();
        do {
          if (worker.count == 0 || worker.random.OneIn(8)) {
            ExAcquireCacheAwarePushLockExclusiveEx(shared->wide, 0);
            Write(&shared->guarded);
            ++worker.count;
            ExReleaseCacheAwarePushLockExclusiveEx(shared->wide, 0);
          } else {
            PULONG_PTR taken = ExAcquireCacheAwarePushLockSharedEx(shared->wide, 0);
            Read(&shared->guarded);
            ExReleaseCacheAwarePushLockSharedEx(taken, 0);
          }
        } while (StressGoesOn());
        KeLeaveCriticalRegion();
      },
      &shared, nt_stress::Place::kAnywhere);
  ExpectExact(workers, shared);
  ExFreeCacheAwarePushLock(shared.wide);
}

NT_TEST(StressWidePushLock, ExpandsInUse) {
  PushLock shared = {};
  ExInitializeAutoExpandPushLock(&shared.expanding, 0);
  nt_stress::Workers workers(
      nt_stress::Processors() * 2,
      [](nt_stress::Worker& worker) {
        auto* shared = static_cast<PushLock*>(worker.context);
        KeEnterCriticalRegion();
        do {
          if (worker.count == 0 || worker.random.OneIn(8)) {
            ExAcquireAutoExpandPushLockExclusive(&shared->expanding, 0);
            Write(&shared->guarded);
            ++worker.count;
            ExReleaseAutoExpandPushLockExclusive(&shared->expanding, 0);
          } else {
            PVOID taken = ExAcquireAutoExpandPushLockShared(&shared->expanding, 0);
            Read(&shared->guarded);
            ExReleaseAutoExpandPushLockShared(taken, 0);
          }
        } while (StressGoesOn());
        KeLeaveCriticalRegion();
      },
      &shared);
  ExpectExact(workers, shared);
  ExCleanupAutoExpandPushLock(&shared.expanding);
}

namespace {

struct Resource {
  Guarded guarded;
  ERESOURCE resource;
};

void ResourceRound(Resource* shared, nt_stress::Worker& worker) {
  PERESOURCE resource = &shared->resource;
  const ULONG kind = worker.random.Below(10);
  if (kind < 3) {
    if (kind == 2 && !ExAcquireResourceExclusiveLite(resource, FALSE)) return;
    if (kind != 2) ExAcquireResourceExclusiveLite(resource, TRUE);
    Write(&shared->guarded);
    ++worker.count;
    if (worker.random.OneIn(2)) {
      ExAcquireResourceSharedLite(resource, TRUE);  // again, while exclusive
      ExReleaseResourceLite(resource);
    }
    if (worker.random.OneIn(2)) {
      ExConvertExclusiveToSharedLite(resource);
      Read(&shared->guarded);
    }
  } else if (kind < 6) {
    ExAcquireResourceSharedLite(resource, TRUE);
    Read(&shared->guarded);
  } else if (kind < 8) {
    ExAcquireSharedStarveExclusive(resource, TRUE);
    Read(&shared->guarded);
  } else {
    ExAcquireSharedWaitForExclusive(resource, TRUE);
    Read(&shared->guarded);
  }
  if (worker.random.OneIn(4)) {  // ownership goes to a pointer, which is this worker's alone
    PVOID pointer = reinterpret_cast<PVOID>(reinterpret_cast<ULONG_PTR>(&worker) | 3);
    ExSetResourceOwnerPointer(resource, pointer);
    ExReleaseResourceForThreadLite(resource, reinterpret_cast<ERESOURCE_THREAD>(pointer));
    return;
  }
  ExReleaseResourceLite(resource);
}

}  // namespace

NT_TEST(StressResource, WritersAloneReadersTogether) {
  static Resource shared;
  shared = {};
  NT_ASSERT_SUCCESS(ExInitializeResourceLite(&shared.resource));
  nt_stress::Workers workers(
      nt_stress::Processors() * 2,
      [](nt_stress::Worker& worker) {
        auto* shared = static_cast<Resource*>(worker.context);
        KeEnterCriticalRegion();
        ExAcquireResourceExclusiveLite(&shared->resource, TRUE);
        Write(&shared->guarded);
        ++worker.count;
        ExReleaseResourceLite(&shared->resource);
        while (StressGoesOn()) ResourceRound(shared, worker);
        KeLeaveCriticalRegion();
      },
      &shared);
  ExpectExact(workers, shared);
  NT_EXPECT_EQ(shared.resource.ActiveEntries, 0);
  NT_EXPECT_EQ(ExGetSharedWaiterCount(&shared.resource), 0);
  NT_EXPECT_EQ(ExGetExclusiveWaiterCount(&shared.resource), 0);
  NT_EXPECT_SUCCESS(ExDeleteResourceLite(&shared.resource));
}
