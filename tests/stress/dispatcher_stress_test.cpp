// Waits under pressure: no wake-up is lost or counted twice, whoever races for it.
#include "nt_stress.h"
#include "threads.h"

using nt_stress::Worker;
using nt_stress::Workers;
using nt_test::Milliseconds;

namespace {

constexpr ULONG kMost = 64;

LARGE_INTEGER Microseconds(ULONG count) {
  LARGE_INTEGER interval;
  interval.QuadPart = -10 * static_cast<LONGLONG>(count);
  return interval;
}

// Two threads hand one turn to each other.
struct Pairs {
  struct Side {
    KEVENT turn;
    LONG64 count;  // read when both have ended
  } sides[kMost];
  volatile LONG stop[kMost];
};

void PlayPingPong(Worker& worker) {
  auto* pairs = static_cast<Pairs*>(worker.context);
  const ULONG other = worker.index ^ 1;
  Pairs::Side& mine = pairs->sides[worker.index];
  volatile LONG& stop = pairs->stop[worker.index / 2];
  if (worker.index % 2 == 0) {
    for (; StressGoesOn(); ++mine.count) {
      KeSetEvent(&pairs->sides[other].turn, static_cast<KPRIORITY>(worker.random.Below(3)), FALSE);
      KeWaitForSingleObject(&mine.turn, Executive, KernelMode, FALSE, nullptr);
    }
    stop = 1;
    KeSetEvent(&pairs->sides[other].turn, 0, FALSE);
    return;
  }
  for (;; ++mine.count) {
    KeWaitForSingleObject(&mine.turn, Executive, KernelMode, FALSE, nullptr);
    if (stop) return;
    // With Wait the wait at the head of the loop follows at once.
    KeSetEvent(&pairs->sides[other].turn, 0, worker.random.OneIn(4));
  }
}

// Those that set an event that was clear are as many as those that were released by it.
struct Race {
  KEVENT event;
  volatile LONG64 sets, waits, timeouts;
};

void RaceForAnEvent(Worker& worker) {
  auto* race = static_cast<Race*>(worker.context);
  while (StressGoesOn()) {
    if (worker.index % 2 == 0) {
      if (KeSetEvent(&race->event, 0, FALSE) == 0) InterlockedIncrement64(&race->sets);
      if (worker.random.OneIn(4)) YieldProcessor();
      continue;
    }
    LARGE_INTEGER limit = Microseconds(worker.random.Below(300));
    const NTSTATUS status = KeWaitForSingleObject(&race->event, Executive, KernelMode, FALSE, &limit);
    InterlockedIncrement64(status == STATUS_WAIT_0 ? &race->waits : &race->timeouts);
  }
}

struct Tokens {
  KSEMAPHORE semaphore;
  KEVENT never;
  volatile LONG64 made, taken;
};

void MakeAndTakeTokens(Worker& worker) {
  auto* tokens = static_cast<Tokens*>(worker.context);
  while (StressGoesOn()) {
    if (worker.index % 2 == 0) {
      const LONG count = static_cast<LONG>(1 + worker.random.Below(3));
      InterlockedAdd64(&tokens->made, count);
      KeReleaseSemaphore(&tokens->semaphore, 1, count, FALSE);
      if (KeReadStateSemaphore(&tokens->semaphore) > 1000) nt_test::Sleep(1);
      continue;
    }
    PVOID objects[] = {&tokens->never, &tokens->semaphore};
    LARGE_INTEGER limit = Microseconds(worker.random.Below(500));
    const NTSTATUS status =
        worker.random.OneIn(2)
            ? KeWaitForMultipleObjects(2, objects, WaitAny, Executive, KernelMode, FALSE, &limit, nullptr)
            : KeWaitForSingleObject(&tokens->semaphore, Executive, KernelMode, FALSE, &limit);
    if (status != STATUS_TIMEOUT) InterlockedIncrement64(&tokens->taken);
  }
}

struct Item {
  LIST_ENTRY link;
  volatile LONG queued;
};
struct Conveyor {
  KQUEUE queue;
  Item items[kMost][32];
  volatile LONG64 put, taken, wrong;
};

void PutAndTakeItems(Worker& worker) {
  auto* conveyor = static_cast<Conveyor*>(worker.context);
  while (StressGoesOn()) {
    if (worker.index % 2 == 0) {
      Item& item = conveyor->items[worker.index][worker.random.Below(32)];
      if (item.queued != 0) {
        YieldProcessor();
        continue;
      }
      item.queued = 1;
      InterlockedIncrement64(&conveyor->put);
      if (worker.random.OneIn(3)) {
        KeInsertHeadQueue(&conveyor->queue, &item.link);
      } else {
        KeInsertQueue(&conveyor->queue, &item.link);
      }
      continue;
    }
    LARGE_INTEGER limit = Microseconds(worker.random.Below(500));
    PLIST_ENTRY link = KeRemoveQueue(&conveyor->queue, KernelMode, &limit);
    if (reinterpret_cast<LONG_PTR>(link) == STATUS_TIMEOUT) continue;
    if (InterlockedExchange(&CONTAINING_RECORD(link, Item, link)->queued, 0) != 1) {
      InterlockedIncrement64(&conveyor->wrong);
    }
    InterlockedIncrement64(&conveyor->taken);
    if (worker.random.OneIn(16)) nt_test::Sleep(1);  // another thread takes the place
  }
}

struct Guarded {
  KMUTEX mutex;
  ULONG64 counter;  // not interlocked
  volatile LONG inside, intruders;
};

void TakeTheMutex(Worker& worker) {
  auto* guarded = static_cast<Guarded*>(worker.context);
  while (StressGoesOn()) {
    LARGE_INTEGER limit = Microseconds(worker.random.Below(1000));
    const bool limited = worker.random.OneIn(2);
    if (KeWaitForSingleObject(&guarded->mutex, Executive, KernelMode, FALSE, limited ? &limit : nullptr) !=
        STATUS_WAIT_0) {
      continue;
    }
    const ULONG again = worker.random.Below(3);
    for (ULONG i = 0; i < again; ++i) {
      KeWaitForSingleObject(&guarded->mutex, Executive, KernelMode, FALSE, nullptr);
    }
    if (InterlockedIncrement(&guarded->inside) != 1) InterlockedIncrement(&guarded->intruders);
    ++guarded->counter;
    ++worker.count;
    InterlockedDecrement(&guarded->inside);
    for (ULONG i = 0; i <= again; ++i) KeReleaseMutex(&guarded->mutex, FALSE);
  }
}

// Philosophers who take two or three forks at once or none: nobody holds one and waits for another.
struct Table {
  KEVENT forks[8];
  volatile LONG used[8];
  volatile LONG64 meals, collisions;
};

void Dine(Worker& worker) {
  auto* table = static_cast<Table*>(worker.context);
  while (StressGoesOn()) {
    const ULONG count = 2 + worker.random.Below(2);
    ULONG which[3];
    which[0] = worker.random.Below(8);
    which[1] = (which[0] + 1 + worker.random.Below(3)) % 8;
    which[2] = (which[0] + 4 + worker.random.Below(4)) % 8;
    PVOID objects[3];
    for (ULONG i = 0; i < count; ++i) objects[i] = &table->forks[which[i]];
    LARGE_INTEGER limit = Microseconds(worker.random.Below(500));
    const bool limited = worker.random.OneIn(3);
    if (KeWaitForMultipleObjects(count, objects, WaitAll, Executive, KernelMode, FALSE,
                                 limited ? &limit : nullptr, nullptr) != STATUS_WAIT_0) {
      continue;
    }
    for (ULONG i = 0; i < count; ++i) {
      if (InterlockedExchange(&table->used[which[i]], 1) != 0) InterlockedIncrement64(&table->collisions);
    }
    InterlockedIncrement64(&table->meals);
    for (ULONG i = 0; i < count; ++i) table->used[which[i]] = 0;
    for (ULONG i = 0; i < count; ++i) KeSetEvent(&table->forks[which[i]], 0, FALSE);
  }
}

}  // namespace

NT_TEST(StressDispatcher, AHandedTurnIsNeverLost) {
  static Pairs pairs;
  RtlZeroMemory(&pairs, sizeof pairs);
  for (Pairs::Side& side : pairs.sides) KeInitializeEvent(&side.turn, SynchronizationEvent, FALSE);
  const ULONG count = nt_stress::Processors() / 2 * 2 + 2;
  Workers workers(count, PlayPingPong, &pairs, nt_stress::Place::kAnywhere);
  workers.Join();
  for (ULONG i = 0; i < count; i += 2) NT_EXPECT_EQ(pairs.sides[i].count, pairs.sides[i + 1].count);
}

NT_TEST(StressDispatcher, SignalsAndTimeoutsAddUp) {
  Race race = {};
  KeInitializeEvent(&race.event, SynchronizationEvent, FALSE);
  Workers workers(nt_stress::Processors() + 2, RaceForAnEvent, &race);
  workers.Join();
  NT_EXPECT_EQ(race.sets, race.waits + KeReadStateEvent(&race.event));
}

NT_TEST(StressDispatcher, EveryTokenIsTakenOnce) {
  Tokens tokens = {};
  KeInitializeSemaphore(&tokens.semaphore, 0, MAXLONG);
  KeInitializeEvent(&tokens.never, NotificationEvent, FALSE);
  Workers workers(nt_stress::Processors() + 2, MakeAndTakeTokens, &tokens, nt_stress::Place::kAnywhere);
  workers.Join();
  NT_EXPECT_EQ(tokens.made, tokens.taken + KeReadStateSemaphore(&tokens.semaphore));
}

NT_TEST(StressDispatcher, EveryQueuedItemIsTakenOnce) {
  static Conveyor conveyor;
  RtlZeroMemory(&conveyor, sizeof conveyor);
  KeInitializeQueue(&conveyor.queue, 0);
  Workers workers(nt_stress::Processors() + 2, PutAndTakeItems, &conveyor, nt_stress::Place::kAnywhere);
  workers.Join();
  NT_EXPECT_EQ(conveyor.put, conveyor.taken + KeReadStateQueue(&conveyor.queue));
  NT_EXPECT_EQ(conveyor.wrong, 0);
  LONG64 left = 0;
  if (PLIST_ENTRY first = KeRundownQueue(&conveyor.queue)) {
    PLIST_ENTRY link = first;
    do {
      ++left;
      link = link->Flink;
    } while (link != first);
  }
  NT_EXPECT_EQ(conveyor.put, conveyor.taken + left);
}

NT_TEST(StressDispatcher, OneOwnerOfAMutex) {
  Guarded guarded = {};
  KeInitializeMutex(&guarded.mutex, 0);
  Workers workers(nt_stress::Processors() + 1, TakeTheMutex, &guarded);
  workers.Join();
  NT_EXPECT_EQ(guarded.counter, workers.Total());
  NT_EXPECT_EQ(guarded.intruders, 0);
  NT_EXPECT_EQ(KeReadStateMutex(&guarded.mutex), 1);
}

NT_TEST(StressDispatcher, AllObjectsOrNone) {
  Table table = {};
  for (KEVENT& fork : table.forks) KeInitializeEvent(&fork, SynchronizationEvent, TRUE);
  Workers workers(nt_stress::Processors() + 3, Dine, &table);
  workers.Join();
  NT_EXPECT_EQ(table.collisions, 0);
  NT_EXPECT_TRUE(table.meals != 0);
  for (KEVENT& fork : table.forks) NT_EXPECT_EQ(KeReadStateEvent(&fork), 1);
}
