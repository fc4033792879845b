#include "ktl/ready_queue.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace {

struct Link {
  Link* Flink;
  Link* Blink;
};
struct Thread {
  Link link;
  int priority;
  unsigned affinity = ~0u;
};

struct KtlReadyQueue : testing::Test {
  Link heads[ktl::kPriorities];
  uint32_t summary = 0;
  ktl::ReadyQueues<Link> queues{heads, &summary};

  void SetUp() override {
    for (Link& head : heads) ktl::QueueInit(&head);
  }
  Thread* Find(int minimum, unsigned processor = 1) {
    int priority = -1;
    Link* link = queues.Find(
        minimum, [=](Link* l) { return (reinterpret_cast<Thread*>(l)->affinity & processor) != 0; },
        &priority);
    if (link == nullptr) return nullptr;
    EXPECT_EQ(priority, reinterpret_cast<Thread*>(link)->priority);
    return reinterpret_cast<Thread*>(link);
  }
  void Insert(Thread& thread, bool front = false) { queues.Insert(&thread.link, thread.priority, front); }
  void Remove(Thread& thread) { queues.Remove(&thread.link, thread.priority); }
};

TEST_F(KtlReadyQueue, HighestPriorityFirst) {
  Thread low{{}, 3}, high{{}, 20}, top{{}, 31};
  Insert(low);
  Insert(top);
  Insert(high);
  EXPECT_EQ(Find(0), &top);
  Remove(top);
  EXPECT_EQ(Find(0), &high);
  EXPECT_EQ(Find(21), nullptr);
  Remove(high);
  EXPECT_EQ(Find(0), &low);
  Remove(low);
  EXPECT_EQ(summary, 0u);
}

TEST_F(KtlReadyQueue, EqualsTakeTurnsAndThePreemptedGoesFirst) {
  Thread a{{}, 8}, b{{}, 8}, c{{}, 8};
  Insert(a);
  Insert(b);
  Insert(c, true);
  EXPECT_EQ(Find(0), &c);
  Remove(c);
  EXPECT_EQ(Find(0), &a);
}

TEST_F(KtlReadyQueue, SkipsThreadsThatMayNotRunHere) {
  Thread bound{{}, 15, 2}, other{{}, 4, 1};
  Insert(bound);
  Insert(other);
  EXPECT_EQ(Find(0, 1), &other);
  EXPECT_EQ(Find(0, 2), &bound);
  EXPECT_EQ(Find(5, 1), nullptr);
}

// Against a plain vector: the summary and the queues always agree, and Find is the highest.
TEST_F(KtlReadyQueue, AgreesWithAModel) {
  std::mt19937 random(1);
  std::vector<Thread> threads(64);
  std::vector<bool> in(threads.size());
  for (int step = 0; step < 20000; ++step) {
    const size_t i = random() % threads.size();
    if (in[i]) {
      Remove(threads[i]);
    } else {
      threads[i].priority = static_cast<int>(random() % 32);
      Insert(threads[i], random() % 2 == 0);
    }
    in[i] = !in[i];
    int highest = -1;
    uint32_t expected_summary = 0;
    for (size_t k = 0; k < threads.size(); ++k) {
      if (!in[k]) continue;
      highest = std::max(highest, threads[k].priority);
      expected_summary |= 1u << threads[k].priority;
    }
    ASSERT_EQ(summary, expected_summary);
    Thread* found = Find(0);
    ASSERT_EQ(found == nullptr ? -1 : found->priority, highest);
  }
}

}  // namespace
