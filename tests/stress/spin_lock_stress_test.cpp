// Every family of spin locks under pressure: nobody else in the critical section, ever; queued locks starve
// nobody.
#include "nt_stress.h"

namespace {

constexpr KIRQL kDispatch = DISPATCH_LEVEL;
constexpr KSPIN_LOCK_QUEUE_NUMBER kNumber = LockQueueUnusedSpare15, kOtherNumber = LockQueueUnusedSpare16;

struct Shared {
  KSPIN_LOCK lock;
  EX_SPIN_LOCK shared_lock;
  ULONG64 counter;  // guarded by the lock, not interlocked
  volatile LONG inside;
  volatile LONG intruders;
  volatile LONG ready;  // contenders that have asked for the lock and not released it
  volatile LONG over;   // the last round was
};

// ---- The families: each acquires and releases once. One object an acquisition. ----
struct Plain {
  KIRQL old;
  void Acquire(Shared* shared) { KeAcquireSpinLock(&shared->lock, &old); }
  void Release(Shared* shared) { KeReleaseSpinLock(&shared->lock, old); }
};
struct PlainAtDpcLevel {
  KIRQL old;
  void Acquire(Shared* shared) {
    KeRaiseIrql(kDispatch, &old);
    KeAcquireSpinLockAtDpcLevel(&shared->lock);
  }
  void Release(Shared* shared) {
    KeReleaseSpinLockFromDpcLevel(&shared->lock);
    KeLowerIrql(old);
  }
};
struct PlainTry {
  KIRQL old;
  void Acquire(Shared* shared) {
    KeRaiseIrql(kDispatch, &old);
    while (!KeTryToAcquireSpinLockAtDpcLevel(&shared->lock)) {
      while (!KeTestSpinLock(&shared->lock)) continue;
    }
  }
  void Release(Shared* shared) {
    KeReleaseSpinLockFromDpcLevel(&shared->lock);
    KeLowerIrql(old);
  }
};
struct PlainForDpc {
  KIRQL old;
  void Acquire(Shared* shared) { old = KeAcquireSpinLockForDpc(&shared->lock); }
  void Release(Shared* shared) { KeReleaseSpinLockForDpc(&shared->lock, old); }
};
struct PlainRaiseToSynch {
  KIRQL old;
  void Acquire(Shared* shared) { old = KeAcquireSpinLockRaiseToSynch(&shared->lock); }
  void Release(Shared* shared) { KeReleaseSpinLock(&shared->lock, old); }
};
struct Queued {
  KLOCK_QUEUE_HANDLE handle;
  void Acquire(Shared* shared) { KeAcquireInStackQueuedSpinLock(&shared->lock, &handle); }
  void Release(Shared*) { KeReleaseInStackQueuedSpinLock(&handle); }
};
struct QueuedAtDpcLevel {
  KLOCK_QUEUE_HANDLE handle;
  KIRQL old;
  void Acquire(Shared* shared) {
    KeRaiseIrql(kDispatch, &old);
    KeAcquireInStackQueuedSpinLockAtDpcLevel(&shared->lock, &handle);
  }
  void Release(Shared*) {
    KeReleaseInStackQueuedSpinLockFromDpcLevel(&handle);
    KeLowerIrql(old);
  }
};
struct QueuedForDpc {
  KLOCK_QUEUE_HANDLE handle;
  void Acquire(Shared* shared) { KeAcquireInStackQueuedSpinLockForDpc(&shared->lock, &handle); }
  void Release(Shared*) { KeReleaseInStackQueuedSpinLockForDpc(&handle); }
};
struct QueuedRaiseToSynch {
  KLOCK_QUEUE_HANDLE handle;
  void Acquire(Shared* shared) { KeAcquireInStackQueuedSpinLockRaiseToSynch(&shared->lock, &handle); }
  void Release(Shared*) { KeReleaseInStackQueuedSpinLock(&handle); }
};
struct Numbered {
  KIRQL old;
  void Acquire(Shared*) { old = KeAcquireQueuedSpinLock(kNumber); }
  void Release(Shared*) { KeReleaseQueuedSpinLock(kNumber, old); }
};
struct NumberedRaiseToSynch {
  KIRQL old;
  void Acquire(Shared*) { old = KeAcquireQueuedSpinLockRaiseToSynch(kOtherNumber); }
  void Release(Shared*) { KeReleaseQueuedSpinLock(kOtherNumber, old); }
};
struct NumberedTry {
  KIRQL old;
  void Acquire(Shared*) {
    while (!KeTryToAcquireQueuedSpinLock(kNumber, &old)) continue;
  }
  void Release(Shared*) { KeReleaseQueuedSpinLock(kNumber, old); }
};
struct Exclusive {
  KIRQL old;
  void Acquire(Shared* shared) { old = ExAcquireSpinLockExclusive(&shared->shared_lock); }
  void Release(Shared* shared) { ExReleaseSpinLockExclusive(&shared->shared_lock, old); }
};
struct ExclusiveAtDpcLevel {
  KIRQL old;
  void Acquire(Shared* shared) {
    KeRaiseIrql(kDispatch, &old);
    ExAcquireSpinLockExclusiveAtDpcLevel(&shared->shared_lock);
  }
  void Release(Shared* shared) {
    ExReleaseSpinLockExclusiveFromDpcLevel(&shared->shared_lock);
    KeLowerIrql(old);
  }
};
struct ExclusiveTry {
  KIRQL old;
  void Acquire(Shared* shared) {
    KeRaiseIrql(kDispatch, &old);
    while (!ExTryAcquireSpinLockExclusiveAtDpcLevel(&shared->shared_lock)) continue;
  }
  void Release(Shared* shared) {
    ExReleaseSpinLockExclusiveFromDpcLevel(&shared->shared_lock);
    KeLowerIrql(old);
  }
};
struct Converted {
  KIRQL old;
  void Acquire(Shared* shared) {
    for (;;) {
      old = ExAcquireSpinLockShared(&shared->shared_lock);
      if (ExTryConvertSharedSpinLockExclusive(&shared->shared_lock)) return;
      ExReleaseSpinLockShared(&shared->shared_lock, old);
    }
  }
  void Release(Shared* shared) { ExReleaseSpinLockExclusive(&shared->shared_lock, old); }
};
struct Cancel {
  KIRQL old;
  void Acquire(Shared*) { IoAcquireCancelSpinLock(&old); }
  void Release(Shared*) { IoReleaseCancelSpinLock(old); }
};

template <typename Family>
void Increment(nt_stress::Worker& worker) {
  auto* shared = static_cast<Shared*>(worker.context);
  while (StressGoesOn()) {
    Family family;
    family.Acquire(shared);
    if (InterlockedIncrement(&shared->inside) != 1) InterlockedIncrement(&shared->intruders);
    ++shared->counter;
    InterlockedDecrement(&shared->inside);
    family.Release(shared);
    ++worker.count;
    for (ULONG pause = worker.random.Below(32); pause != 0; --pause) YieldProcessor();
  }
}

template <typename Family>
void CheckExclusion() {
  Shared shared = {};
  KeInitializeSpinLock(&shared.lock);
  nt_stress::Workers workers(nt_stress::Processors(), Increment<Family>, &shared);
  workers.Join();
  NT_EXPECT_EQ(shared.counter, workers.Total());
  NT_EXPECT_EQ(shared.intruders, 0);
  NT_EXPECT_EQ(shared.lock, 0);
  NT_EXPECT_EQ(shared.shared_lock, 0);
}

}  // namespace

NT_TEST(StressSpinLock, PlainExcludes) {
  CheckExclusion<Plain>();
}
NT_TEST(StressSpinLock, PlainAtDpcLevelExcludes) {
  CheckExclusion<PlainAtDpcLevel>();
}
NT_TEST(StressSpinLock, PlainTryExcludes) {
  CheckExclusion<PlainTry>();
}
NT_TEST(StressSpinLock, PlainForDpcExcludes) {
  CheckExclusion<PlainForDpc>();
}
NT_TEST(StressSpinLock, PlainRaiseToSynchExcludes) {
  CheckExclusion<PlainRaiseToSynch>();
}
NT_TEST(StressSpinLock, QueuedExcludes) {
  CheckExclusion<Queued>();
}
NT_TEST(StressSpinLock, QueuedAtDpcLevelExcludes) {
  CheckExclusion<QueuedAtDpcLevel>();
}
NT_TEST(StressSpinLock, QueuedForDpcExcludes) {
  CheckExclusion<QueuedForDpc>();
}
NT_TEST(StressSpinLock, QueuedRaiseToSynchExcludes) {
  CheckExclusion<QueuedRaiseToSynch>();
}
NT_TEST(StressSpinLock, NumberedExcludes) {
  CheckExclusion<Numbered>();
}
NT_TEST(StressSpinLock, NumberedRaiseToSynchExcludes) {
  CheckExclusion<NumberedRaiseToSynch>();
}
NT_TEST(StressSpinLock, NumberedTryExcludes) {
  CheckExclusion<NumberedTry>();
}
NT_TEST(StressSpinLock, CancelExcludes) {
  CheckExclusion<Cancel>();
}
NT_TEST(StressSharedLock, ExclusiveExcludes) {
  CheckExclusion<Exclusive>();
}
NT_TEST(StressSharedLock, ExclusiveAtDpcLevelExcludes) {
  CheckExclusion<ExclusiveAtDpcLevel>();
}
NT_TEST(StressSharedLock, ExclusiveTryExcludes) {
  CheckExclusion<ExclusiveTry>();
}
NT_TEST(StressSharedLock, ConvertedExcludes) {
  CheckExclusion<Converted>();
}

namespace {

constexpr LONG64 kRoundsEach = 8;  // of each contender at least, so that a share means something

// Whoever holds the lock waits until all others have asked for it, so that all contend in every round: how
// the host shares its processors among the machine's decides nothing then. A round without the barrier only
// follows the last.
void Contend(nt_stress::Worker& worker) {
  auto* shared = static_cast<Shared*>(worker.context);
  const auto contenders = static_cast<LONG>(nt_stress::Processors());
  for (;;) {
    KLOCK_QUEUE_HANDLE handle;
    InterlockedIncrement(&shared->ready);
    KeAcquireInStackQueuedSpinLock(&shared->lock, &handle);
    const bool last = shared->over != 0;
    if (!last) {
      while (shared->ready < contenders) YieldProcessor();
      ++shared->counter;
      ++worker.count;
      if (!StressGoesOn() && shared->counter >= static_cast<ULONG64>(kRoundsEach * contenders))
        shared->over = 1;
    }
    InterlockedDecrement(&shared->ready);
    KeReleaseInStackQueuedSpinLock(&handle);
    if (last) return;
  }
}

}  // namespace

NT_TEST(StressSpinLock, QueuedStarvesNobody) {
  Shared shared = {};
  KeInitializeSpinLock(&shared.lock);
  nt_stress::Workers workers(nt_stress::Processors(), Contend, &shared);
  workers.Join();
  NT_EXPECT_EQ(shared.counter, workers.Total());
  DbgPrint("[test] queued lock: %I64u rounds, slowest %I64u, fastest %I64u of %u contenders\n",
           workers.Total(), workers.Smallest(), workers.Largest(), workers.count());
  NT_EXPECT_TRUE(2 * workers.Smallest() * workers.count() >= workers.Total());
}

// ---- Readers and writers ----
namespace {

struct Pair {
  EX_SPIN_LOCK lock;
  volatile ULONG64 first, second;  // equal outside a writer's section
  volatile LONG readers, writers;
  volatile LONG broken;
  volatile LONG done;
};

void Write(Pair* pair) {
  if (InterlockedIncrement(&pair->writers) != 1 || pair->readers != 0) InterlockedIncrement(&pair->broken);
  pair->first = pair->first + 1;
  pair->second = pair->second + 1;
  InterlockedDecrement(&pair->writers);
}
void Read(Pair* pair) {
  InterlockedIncrement(&pair->readers);
  if (pair->writers != 0 || pair->first != pair->second) InterlockedIncrement(&pair->broken);
  InterlockedDecrement(&pair->readers);
}

// count: the writes.
void ReadOrWrite(nt_stress::Worker& worker) {
  auto* pair = static_cast<Pair*>(worker.context);
  while (StressGoesOn()) {
    if (worker.random.OneIn(4)) {
      const KIRQL old = ExAcquireSpinLockExclusive(&pair->lock);
      Write(pair);
      ExReleaseSpinLockExclusive(&pair->lock, old);
      ++worker.count;
      continue;
    }
    const KIRQL old = ExAcquireSpinLockShared(&pair->lock);
    Read(pair);
    if (worker.random.OneIn(4) && ExTryConvertSharedSpinLockExclusive(&pair->lock)) {
      Write(pair);
      ExReleaseSpinLockExclusive(&pair->lock, old);
      ++worker.count;
      continue;
    }
    ExReleaseSpinLockShared(&pair->lock, old);
  }
}

constexpr ULONG kWrites = 50;

// The last worker writes; the others read until it is through, always holding the lock again at once.
void WriteAmongReaders(nt_stress::Worker& worker) {
  auto* pair = static_cast<Pair*>(worker.context);
  if (worker.index + 1 == nt_stress::Processors()) {
    while (StressGoesOn() || worker.count < kWrites) {
      const KIRQL old = ExAcquireSpinLockExclusive(&pair->lock);
      Write(pair);
      ExReleaseSpinLockExclusive(&pair->lock, old);
      ++worker.count;
    }
    pair->done = 1;
    return;
  }
  while (pair->done == 0) {
    const KIRQL old = ExAcquireSpinLockShared(&pair->lock);
    Read(pair);
    ExReleaseSpinLockShared(&pair->lock, old);
  }
}

}  // namespace

NT_TEST(StressSharedLock, ReadersSeeWholeWrites) {
  Pair pair = {};
  nt_stress::Workers workers(nt_stress::Processors(), ReadOrWrite, &pair);
  workers.Join();
  NT_EXPECT_EQ(pair.broken, 0);
  NT_EXPECT_EQ(pair.first, workers.Total());
  NT_EXPECT_EQ(pair.second, workers.Total());
  NT_EXPECT_EQ(pair.lock, 0);
}

// It ends only if the writer gets in.
NT_TEST(StressSharedLock, AWriterAmongReadersGetsIn) {
  Pair pair = {};
  nt_stress::Workers workers(nt_stress::Processors(), WriteAmongReaders, &pair);
  workers.Join();
  NT_EXPECT_EQ(pair.broken, 0);
  NT_EXPECT_TRUE(workers.Total() >= kWrites);
  NT_EXPECT_EQ(pair.first, workers.Total());
  NT_EXPECT_EQ(pair.lock, 0);
}

// ---- Sums and lists under a lock, with interrupts off ----
namespace {

struct Item {
  LIST_ENTRY entry;
  SINGLE_LIST_ENTRY single;
  volatile LONG owners;
};
constexpr ULONG kItems = 24;

struct Lists {
  KSPIN_LOCK lock;
  LIST_ENTRY head;
  SINGLE_LIST_ENTRY single;
  ULONG sum;
  LARGE_INTEGER large;
  volatile LONG broken;
  Item items[kItems];
};

void UseLists(nt_stress::Worker& worker) {
  auto* lists = static_cast<Lists*>(worker.context);
  LARGE_INTEGER three;
  three.QuadPart = 3;
  while (StressGoesOn()) {
    ExInterlockedAddUlong(&lists->sum, 1, &lists->lock);
    ExInterlockedAddLargeInteger(&lists->large, three, &lists->lock);
    ++worker.count;
    PLIST_ENTRY entry = ExInterlockedRemoveHeadList(&lists->head, &lists->lock);
    if (entry != nullptr) {
      Item* item = CONTAINING_RECORD(entry, Item, entry);
      if (InterlockedIncrement(&item->owners) != 1) InterlockedIncrement(&lists->broken);
      InterlockedDecrement(&item->owners);
      if (worker.random.OneIn(2)) {
        ExInterlockedInsertTailList(&lists->head, entry, &lists->lock);
      } else {
        ExInterlockedPushEntryList(&lists->single, &item->single, &lists->lock);
      }
    }
    PSINGLE_LIST_ENTRY single = ExInterlockedPopEntryList(&lists->single, &lists->lock);
    if (single == nullptr) continue;
    Item* item = CONTAINING_RECORD(single, Item, single);
    if (InterlockedIncrement(&item->owners) != 1) InterlockedIncrement(&lists->broken);
    InterlockedDecrement(&item->owners);
    ExInterlockedInsertHeadList(&lists->head, &item->entry, &lists->lock);
  }
}

}  // namespace

NT_TEST(StressSpinLock, InterlockedListsAndSumsAreExact) {
  static Lists lists;
  RtlZeroMemory(&lists, sizeof lists);
  KeInitializeSpinLock(&lists.lock);
  InitializeListHead(&lists.head);
  for (Item& item : lists.items) InsertTailList(&lists.head, &item.entry);
  nt_stress::Workers workers(nt_stress::Processors() * 2, UseLists, &lists);
  workers.Join();
  ULONG count = 0;
  while (ExInterlockedRemoveHeadList(&lists.head, &lists.lock) != nullptr) ++count;
  while (ExInterlockedPopEntryList(&lists.single, &lists.lock) != nullptr) ++count;
  NT_EXPECT_EQ(lists.broken, 0);
  NT_EXPECT_EQ(count, kItems);
  NT_EXPECT_EQ(lists.sum, static_cast<ULONG>(workers.Total()));
  NT_EXPECT_EQ(lists.large.QuadPart, 3 * workers.Total());
}
