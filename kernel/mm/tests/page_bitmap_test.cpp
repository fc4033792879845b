#include "mm/page_bitmap.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace mm {
namespace {

struct Bitmap {
  explicit Bitmap(uint64_t bits) : words(PageBitmap::WordsFor(bits)) { bitmap.Init(words.data(), bits); }
  std::vector<uint64_t> words;
  PageBitmap bitmap;
};

TEST(MmPageBitmap, StartsInUse) {
  Bitmap b(100);
  EXPECT_EQ(b.bitmap.free_count(), 0u);
  EXPECT_EQ(b.bitmap.TakeOne(), PageBitmap::kNone);
  EXPECT_EQ(b.bitmap.TakeRun(1), PageBitmap::kNone);
}

TEST(MmPageBitmap, MarkRefusesWhatIsAlreadySo) {
  Bitmap b(200);
  EXPECT_TRUE(b.bitmap.MarkFree(10, 100));
  EXPECT_FALSE(b.bitmap.MarkFree(109, 2));
  EXPECT_FALSE(b.bitmap.MarkUsed(5, 10));
  EXPECT_FALSE(b.bitmap.MarkFree(190, 11)) << "outside";
  EXPECT_FALSE(b.bitmap.MarkFree(~0ull, 2)) << "overflow";
  EXPECT_EQ(b.bitmap.free_count(), 100u);
  EXPECT_TRUE(b.bitmap.MarkUsed(10, 100));
  EXPECT_EQ(b.bitmap.free_count(), 0u);
}

TEST(MmPageBitmap, TakeOneGivesEachBitOnce) {
  Bitmap b(130);
  b.bitmap.MarkFree(1, 129);
  std::vector<bool> seen(130);
  for (int i = 0; i < 129; ++i) {
    const uint64_t index = b.bitmap.TakeOne();
    ASSERT_LT(index, 130u);
    ASSERT_FALSE(seen[index]);
    seen[index] = true;
  }
  EXPECT_FALSE(seen[0]);
  EXPECT_EQ(b.bitmap.TakeOne(), PageBitmap::kNone);
}

TEST(MmPageBitmap, NextFitDoesNotReuseAtOnce) {
  Bitmap b(64);
  b.bitmap.MarkFree(0, 64);
  const uint64_t first = b.bitmap.TakeRun(4);
  b.bitmap.MarkFree(first, 4);
  EXPECT_NE(b.bitmap.TakeRun(4), first);
}

TEST(MmPageBitmap, RunsHonourAlignmentRangeAndBoundary) {
  Bitmap b(1024);
  b.bitmap.MarkFree(0, 1024);
  EXPECT_EQ(b.bitmap.TakeRun(3, 16, 17, 1024, 0), 32u);
  EXPECT_EQ(b.bitmap.TakeRun(8, 1, 60, 1024, 64), 64u) << "would cross 64";
  EXPECT_EQ(b.bitmap.TakeRun(65, 1, 0, 1024, 64), PageBitmap::kNone) << "longer than the boundary";
  EXPECT_EQ(b.bitmap.TakeRun(10, 1, 100, 109, 0), PageBitmap::kNone) << "range too small";
  EXPECT_EQ(b.bitmap.TakeRun(10, 1, 100, 110, 0), 100u);
  EXPECT_EQ(b.bitmap.TakeRun(10, 1, 100, 110, 0), PageBitmap::kNone) << "taken";
  EXPECT_EQ(b.bitmap.TakeRun(1, 1, 2000, ~0ull, 0), PageBitmap::kNone);
}

TEST(MmPageBitmap, RandomOperationsAgreeWithAPlainModel) {
  constexpr uint64_t kBits = 777;
  Bitmap b(kBits);
  std::vector<bool> free(kBits);
  std::mt19937 random(1);
  for (int step = 0; step < 20000; ++step) {
    const uint64_t count = 1 + random() % 20;
    if (random() % 2 == 0) {
      const uint64_t first = random() % (kBits - count);
      bool possible = true;
      for (uint64_t i = first; i < first + count; ++i) possible = possible && !free[i];
      ASSERT_EQ(b.bitmap.MarkFree(first, count), possible);
      for (uint64_t i = first; possible && i < first + count; ++i) free[i] = true;
    } else {
      const uint64_t first = b.bitmap.TakeRun(count, 1ull << random() % 4);
      uint64_t longest = 0, run = 0;
      for (const bool bit : free) longest = std::max(longest, run = bit ? run + 1 : 0);
      if (first == PageBitmap::kNone) {
        ASSERT_LT(longest, count + 8);
        continue;
      }
      for (uint64_t i = first; i < first + count; ++i) {
        ASSERT_TRUE(free[i]);
        free[i] = false;
      }
    }
    ASSERT_EQ(b.bitmap.free_count(), static_cast<uint64_t>(std::count(free.begin(), free.end(), true)));
  }
}

}  // namespace
}  // namespace mm
