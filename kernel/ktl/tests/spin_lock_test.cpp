// The lock algorithms on host threads: exclusion, order and exact counts, with a policy that gives the
// processor away at random before steps that others can see, so that many interleavings are met.
#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "ktl/plain_spin_lock.h"
#include "ktl/queued_spin_lock.h"
#include "ktl/sequenced_list.h"
#include "ktl/shared_spin_lock.h"

namespace {

struct RandomPolicy {
  static void Relax(unsigned round) {
    if (round % 16 == 15) sched_yield();
  }
  static void Step() {
    thread_local std::minstd_rand random{
        static_cast<unsigned>(std::hash<std::thread::id>{}(std::this_thread::get_id()))};
    if (random() % 64 == 0) sched_yield();
  }
};

constexpr int kThreads = 4, kRounds = 20'000;

// Runs body(thread) on several threads at once.
template <typename Body>
void OnThreads(int count, Body body) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back([=] { body(i); });
  for (std::thread& thread : threads) thread.join();
}

// ---- plain ----
using Plain = ktl::PlainSpinLock<RandomPolicy>;

TEST(KtlPlainSpinLock, BitZeroIsTheLock) {
  uint64_t word = 0;
  EXPECT_TRUE(Plain::IsFree(&word));
  EXPECT_TRUE(Plain::TryAcquire(&word));
  EXPECT_EQ(word, 1u);
  EXPECT_FALSE(Plain::TryAcquire(&word));
  EXPECT_FALSE(Plain::IsFree(&word));
  Plain::Release(&word);
  EXPECT_EQ(word, 0u);
}

TEST(KtlPlainSpinLock, Excludes) {
  uint64_t word = 0, counter = 0;
  OnThreads(kThreads, [&](int) {
    for (int i = 0; i < kRounds; ++i) {
      Plain::Acquire(&word);
      counter = counter + 1;
      Plain::Release(&word);
    }
  });
  EXPECT_EQ(counter, uint64_t{kThreads} * kRounds);
}

// ---- queued ----
using Queued = ktl::QueuedSpinLock<RandomPolicy>;

TEST(KtlQueuedSpinLock, NodeTellsItsState) {
  ktl::QueueNode* volatile word = nullptr;
  ktl::QueueNode first, second, third;
  Queued::Acquire(&word, &first);
  EXPECT_EQ(word, &first);
  EXPECT_EQ(first.lock & Queued::kBits, Queued::kOwner);
  EXPECT_EQ(Queued::WordOf(&first), &word);
  ktl::QueueNode* before;
  EXPECT_FALSE(Queued::Enqueue(&word, &second, &before));
  EXPECT_EQ(before, &first);
  EXPECT_EQ(second.lock & Queued::kBits, Queued::kWaiting);
  EXPECT_FALSE(Queued::TryAcquire(&word, &third));
  first.next = &second;  // what WaitForOwnership does before it waits
  Queued::Release(&first);
  EXPECT_EQ(second.lock & Queued::kBits, Queued::kOwner);
  EXPECT_EQ(first.lock & Queued::kBits, 0u);
  Queued::Release(&second);
  EXPECT_TRUE(Queued::IsFree(&word));
  EXPECT_TRUE(Queued::TryAcquire(&word, &third));
  Queued::Release(&third);
  EXPECT_TRUE(Queued::IsFree(&word));
}

TEST(KtlQueuedSpinLock, ExcludesAlsoWithTry) {
  ktl::QueueNode* volatile word = nullptr;
  uint64_t counter = 0;
  OnThreads(kThreads, [&](int number) {
    for (int i = 0; i < kRounds; ++i) {
      ktl::QueueNode node;
      if (number == 0) {
        while (!Queued::TryAcquire(&word, &node)) sched_yield();
      } else {
        Queued::Acquire(&word, &node);
      }
      counter = counter + 1;
      Queued::Release(&node);
      if (number == 0 && i == kRounds / 20) return;  // a try has no turn: it need not get many
    }
  });
  EXPECT_EQ(counter, uint64_t{kThreads - 1} * kRounds + kRounds / 20 + 1);
  EXPECT_TRUE(Queued::IsFree(&word));
}

TEST(KtlQueuedSpinLock, FirstComeFirstServed) {
  ktl::QueueNode* volatile word = nullptr;
  ktl::QueueNode own, nodes[kThreads];
  std::vector<int> order;
  std::atomic<int> next{0};
  Queued::Acquire(&word, &own);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      while (next != i) sched_yield();
      ktl::QueueNode* before;
      EXPECT_FALSE(Queued::Enqueue(&word, &nodes[i], &before));
      ++next;
      Queued::WaitForOwnership(before, &nodes[i]);
      order.push_back(i);
      Queued::Release(&nodes[i]);
    });
  }
  while (next != kThreads) sched_yield();
  Queued::Release(&own);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3}));
}

// Waiters that sleep at once, each until it is woken: one wake-up that is lost stops the test for good.
struct SleepingPolicy : RandomPolicy {
  static constexpr unsigned kPatience = 2;
  static inline std::atomic<ktl::QueueNode*> asleep[kThreads];
  static inline std::atomic<bool> woken[kThreads];
  static inline std::atomic<int> halts;
  static inline thread_local int self;

  static bool Halt(ktl::QueueNode* node, bool (*announce)(ktl::QueueNode*)) {
    if (halts % 7 == 6) return ++halts, false;  // as with interrupts disabled
    woken[self] = false;
    asleep[self] = node;
    Step();
    if (announce(node)) {
      ++halts;
      while (!woken[self]) sched_yield();
    }
    asleep[self] = nullptr;
    return true;
  }
  static void Wake(ktl::QueueNode* node) {
    for (int i = 0; i < kThreads; ++i) {
      if (asleep[i] == node) woken[i] = true;
    }
  }
};

TEST(KtlQueuedSpinLock, HandsOverToWhoSleeps) {
  using Sleeping = ktl::QueuedSpinLock<SleepingPolicy>;
  ktl::QueueNode* volatile word = nullptr;
  uint64_t counter = 0;
  OnThreads(kThreads, [&](int number) {
    SleepingPolicy::self = number;
    for (int i = 0; i < kRounds; ++i) {
      ktl::QueueNode node;
      Sleeping::Acquire(&word, &node);
      counter = counter + 1;
      EXPECT_EQ(node.lock & Sleeping::kBits, Sleeping::kOwner);
      Sleeping::Release(&node);
    }
  });
  EXPECT_EQ(counter, uint64_t{kThreads} * kRounds);
  EXPECT_TRUE(Sleeping::IsFree(&word));
  EXPECT_GT(SleepingPolicy::halts, 0);
}

// ---- shared ----
using Shared = ktl::SharedSpinLock<RandomPolicy>;

TEST(KtlSharedSpinLock, WriterClaimsAndKeepsReadersOut) {
  uint32_t word = 0;
  EXPECT_TRUE(Shared::TryAcquireShared(&word));
  EXPECT_TRUE(Shared::TryAcquireShared(&word));
  EXPECT_EQ(word, 2u);
  EXPECT_FALSE(Shared::TryAcquireExclusive(&word));
  EXPECT_FALSE(Shared::TryConvert(&word));
  EXPECT_EQ(Shared::BeginExclusive(&word), Shared::Begin::kClaimed);
  EXPECT_FALSE(Shared::TryAcquireShared(&word));
  EXPECT_EQ(Shared::BeginExclusive(&word), Shared::Begin::kTaken);
  Shared::ReleaseShared(&word);
  EXPECT_FALSE(Shared::TryConvert(&word));  // the claim was first
  Shared::ReleaseShared(&word);
  Shared::WaitForReaders(&word);
  Shared::ReleaseExclusive(&word);
  EXPECT_EQ(word, 0u);
  EXPECT_TRUE(Shared::TryAcquireShared(&word));
  EXPECT_TRUE(Shared::TryConvert(&word));
  EXPECT_FALSE(Shared::TryAcquireShared(&word));
  Shared::ReleaseExclusive(&word);
  EXPECT_EQ(word, 0u);
}

TEST(KtlSharedSpinLock, ReadersSeeWholeWrites) {
  uint32_t word = 0;
  std::atomic<uint64_t> first{0}, second{0}, writes{0}, broken{0};
  OnThreads(kThreads, [&](int number) {
    for (int i = 0; i < kRounds; ++i) {
      if ((i + number) % 4 == 0) {
        Shared::AcquireExclusive(&word);
        first.store(first.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        RandomPolicy::Step();
        second.store(second.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        ++writes;
        Shared::ReleaseExclusive(&word);
      } else {
        Shared::AcquireShared(&word);
        if (first.load(std::memory_order_relaxed) != second.load(std::memory_order_relaxed)) ++broken;
        Shared::ReleaseShared(&word);
      }
    }
  });
  EXPECT_EQ(broken, 0u);
  EXPECT_EQ(first, writes);
  EXPECT_EQ(word, 0u);
}

// Ends only if the writer is not starved.
TEST(KtlSharedSpinLock, AWriterAmongReadersGetsIn) {
  uint32_t word = 0;
  std::atomic<bool> done{false};
  OnThreads(kThreads, [&](int number) {
    if (number == 0) {
      for (int i = 0; i < 200; ++i) {
        Shared::AcquireExclusive(&word);
        Shared::ReleaseExclusive(&word);
      }
      done = true;
      return;
    }
    while (!done) {
      Shared::AcquireShared(&word);
      Shared::ReleaseShared(&word);
    }
  });
  EXPECT_EQ(word, 0u);
}

// ---- S-list ----
using List = ktl::SequencedList<RandomPolicy>;

struct alignas(16) Item {
  ktl::SequencedEntry entry;
  std::atomic<int> owners{0};
};

TEST(KtlSequencedList, LayoutDepthAndSequence) {
  ktl::SequencedHeader header{};
  Item items[3];
  EXPECT_EQ(List::Pop(&header), nullptr);
  EXPECT_EQ(List::Push(&header, &items[0].entry), nullptr);
  EXPECT_EQ(header.low, 0x1'0001u);
  EXPECT_EQ(header.high, reinterpret_cast<uint64_t>(&items[0]));
  EXPECT_EQ(List::Push(&header, &items[1].entry), &items[0].entry);
  EXPECT_EQ(List::Pop(&header), &items[1].entry);
  EXPECT_EQ(header.low, 0x3'0001u);
  items[1].entry.next = &items[2].entry;
  EXPECT_EQ(List::PushList(&header, &items[1].entry, &items[2].entry, 2), &items[0].entry);
  EXPECT_EQ(List::Depth(&header), 3);
  EXPECT_EQ(List::Flush(&header), &items[1].entry);
  EXPECT_EQ(items[2].entry.next, &items[0].entry);
  EXPECT_EQ(header.low, 0x5'0000u);
  EXPECT_EQ(List::First(&header), nullptr);
}

TEST(KtlSequencedList, NoAba) {
  ktl::SequencedHeader header{};
  Item items[3];
  std::atomic<int> broken{0};
  for (Item& item : items) List::Push(&header, &item.entry);
  OnThreads(kThreads, [&](int) {
    for (int i = 0; i < kRounds; ++i) {
      // Back in the other order: the same head, another link.
      ktl::SequencedEntry* taken[2] = {List::Pop(&header), List::Pop(&header)};
      for (ktl::SequencedEntry* entry : taken) {
        if (entry != nullptr && ++reinterpret_cast<Item*>(entry)->owners != 1) ++broken;
      }
      for (ktl::SequencedEntry* entry : taken) {
        if (entry == nullptr) continue;
        --reinterpret_cast<Item*>(entry)->owners;
        List::Push(&header, entry);
      }
    }
  });
  EXPECT_EQ(broken, 0);
  EXPECT_EQ(List::Depth(&header), 3);
  int count = 0;
  while (List::Pop(&header) != nullptr) ++count;
  EXPECT_EQ(count, 3);
}

}  // namespace
