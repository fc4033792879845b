#include "ktl/timer_wheel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

namespace {

struct Link {
  Link* Flink;
  Link* Blink;
};
struct Timer {
  Link link;
  uint64_t due;
  uint64_t tolerance;
  int number;
};
Timer* TimerOf(const Link* link) {
  return reinterpret_cast<Timer*>(const_cast<Link*>(link));
}
uint64_t DueOf(const Link* link) {
  return TimerOf(link)->due;
}

class TimerWheelTest : public ::testing::Test {
 protected:
  using Wheel = ktl::TimerWheel<Link, uint64_t (*)(const Link*)>;
  TimerWheelTest() : wheel_(heads_, occupied_, DueOf) { wheel_.Initialize(); }

  Link heads_[ktl::kWheelBuckets];
  uint64_t occupied_[ktl::kWheelBuckets / 64];
  Wheel wheel_;
};

TEST_F(TimerWheelTest, EmptyHasNoFirst) {
  EXPECT_EQ(wheel_.First(), nullptr);
  EXPECT_EQ(wheel_.FirstLatest(DueOf), ktl::kNever);
}

TEST_F(TimerWheelTest, EqualTimesKeepTheirOrder) {
  Timer timers[3] = {};
  for (int i = 0; i < 3; ++i) {
    timers[i].due = 1'000'000;
    timers[i].number = i;
    wheel_.Insert(&timers[i].link);
  }
  for (int i = 0; i < 3; ++i) {
    Link* first = wheel_.First();
    EXPECT_EQ(TimerOf(first)->number, i);
    wheel_.Remove(first);
  }
  EXPECT_EQ(wheel_.First(), nullptr);
}

// Times a whole turn of the wheel apart share a list: the first is the earlier all the same.
TEST_F(TimerWheelTest, TurnsOfTheWheelAreToldApart) {
  const uint64_t turn = uint64_t{ktl::kWheelBuckets} << ktl::kWheelShift;
  Timer late = {{}, 5 + turn, 0, 1}, soon = {{}, 5, 0, 2}, other = {{}, 6 + (1ull << ktl::kWheelShift), 0, 3};
  wheel_.Insert(&late.link);
  wheel_.Insert(&other.link);
  wheel_.Insert(&soon.link);
  for (const int expected : {2, 3, 1}) {
    Link* first = wheel_.First();
    EXPECT_EQ(TimerOf(first)->number, expected);
    wheel_.Remove(first);
  }
}

TEST_F(TimerWheelTest, ToleranceDelaysTheLatestTimeOnly) {
  Timer tolerant = {{}, 100, 10'000'000, 0}, strict = {{}, 5'000'000, 0, 1};
  const auto latest = [](const Link* link) { return DueOf(link) + TimerOf(link)->tolerance; };
  wheel_.Insert(&tolerant.link);
  EXPECT_EQ(wheel_.FirstLatest(latest), 10'000'100u);
  wheel_.Insert(&strict.link);
  EXPECT_EQ(wheel_.FirstLatest(latest), 5'000'000u);
  EXPECT_EQ(TimerOf(wheel_.First())->number, 0);
}

TEST_F(TimerWheelTest, AgreesWithASortedSet) {
  std::mt19937_64 random(20261122);
  std::vector<Timer> timers(500);
  std::set<std::pair<uint64_t, int>> model;
  for (int i = 0; i < static_cast<int>(timers.size()); ++i) timers[i].number = i;
  for (int step = 0; step < 50'000; ++step) {
    Timer& timer = timers[random() % timers.size()];
    const auto known = std::find_if(model.begin(), model.end(),
                                    [&](const auto& entry) { return entry.second == timer.number; });
    if (known != model.end()) {
      wheel_.Remove(&timer.link);
      model.erase(known);
    } else {
      timer.due = random() % (1ull << (20 + random() % 20));
      wheel_.Insert(&timer.link);
      model.insert({timer.due, timer.number});
    }
    Link* first = wheel_.First();
    ASSERT_EQ(first == nullptr, model.empty());
    if (first != nullptr) ASSERT_EQ(DueOf(first), model.begin()->first);
  }
  size_t count = 0;
  wheel_.ForEach([&](Link* link) {
    wheel_.Remove(link);
    ++count;
  });
  EXPECT_EQ(count, model.size());
  EXPECT_EQ(wheel_.First(), nullptr);
}

}  // namespace
