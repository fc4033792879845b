// How numbers and times are written. Oracles: the case study's screens for the times.
#include <gtest/gtest.h>

#include "commands/output.h"
#include "commands/text.h"

namespace commands {
namespace {

constexpr uint64_t kTick = 156250;

TEST(Text, DurationsOfTheCaseStudy) {
  EXPECT_EQ(DurationCut(22369 * kTick), "5m:49.515");
  EXPECT_EQ(DurationCut(1401 * kTick), "21s.890");
  EXPECT_EQ(DurationCut(1 * kTick), "15ms");
  EXPECT_EQ(DurationCut(4438 * kTick), "1m:09.343");
  EXPECT_EQ(DurationRounded(11 * kTick), "172ms");
  EXPECT_EQ(DurationRounded(16675 * kTick), "4m:20.547");
  EXPECT_EQ(DurationCut(0), "0");
}

TEST(Text, LongDurationsHaveHoursAndDays) {
  EXPECT_EQ(Duration(3'723'004), "1h:02:03.004");
  EXPECT_EQ(Duration(2 * 86'400'000ull + 3'723'004), "2d.01:02:03.004");
}

TEST(Text, Wildcards) {
  EXPECT_TRUE(MatchesWildcard("PsLoadedModuleList", "ps*list"));
  EXPECT_TRUE(MatchesWildcard("abc", "a?c"));
  EXPECT_FALSE(MatchesWildcard("abc", "a?"));
  EXPECT_TRUE(MatchesWildcard("", "*"));
}

TEST(Text, JsonStringsAreEscaped) {
  EXPECT_EQ(JsonString("a\"b\\c\n\x01"), "\"a\\\"b\\\\c\\n\\u0001\"");
  EXPECT_EQ(JsonString("\xff"), "\"\\ufffd\"");
}

TEST(Text, GroupedNumbers) {
  EXPECT_EQ(Grouped(1836), "1,836");
  EXPECT_EQ(Grouped(12), "12");
}

}  // namespace
}  // namespace commands
