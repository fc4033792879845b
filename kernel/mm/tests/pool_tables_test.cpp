#include "ex/pool_tables.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <thread>
#include <vector>

namespace ex {
namespace {

TEST(ExTagTable, CountsByTagAndKind) {
  std::vector<POOL_TRACKER_TABLE> entries(16);
  TagTable table;
  table.Init(entries.data(), 16);
  table.CountAllocation(0, 'Tag1', false, 100);
  table.CountAllocation(0, 'Tag1', true, 50);
  table.CountFree(0, 'Tag1', false, 40);
  POOL_TRACKER_TABLE entry;
  ASSERT_TRUE(table.Find('Tag1', &entry));
  EXPECT_EQ(entry.NonPagedBytes, 60u);
  EXPECT_EQ(entry.NonPagedAllocs, 1u);
  EXPECT_EQ(entry.NonPagedFrees, 1u);
  EXPECT_EQ(entry.PagedBytes, 50u);
  EXPECT_FALSE(table.Find('Tag2', &entry));
}

TEST(ExTagTable, ProcessorsAddUp) {
  std::vector<POOL_TRACKER_TABLE> first(16), second(16);
  TagTable table;
  table.Init(first.data(), 16);
  table.AddProcessor(second.data());
  for (int i = 0; i < 5; ++i) table.CountAllocation(0, 'Tag1', false, 32);
  for (int i = 0; i < 4; ++i) table.CountFree(1, 'Tag1', false, 32);
  POOL_TRACKER_TABLE entry;
  ASSERT_TRUE(table.Find('Tag1', &entry));
  EXPECT_EQ(entry.NonPagedAllocs, 5u);
  EXPECT_EQ(entry.NonPagedFrees, 4u);
  EXPECT_EQ(entry.NonPagedBytes, 32u);
}

TEST(ExTagTable, TagsBeyondItsSizeShareTheLastEntry) {
  std::vector<POOL_TRACKER_TABLE> entries(8);
  TagTable table;
  table.Init(entries.data(), 8);
  for (uint32_t tag = 1; tag <= 20; ++tag) table.CountAllocation(0, tag, false, 1);
  EXPECT_EQ(entries[7].NonPagedAllocs, 13u);
}

TEST(ExTagTable, ManyThreadsAgree) {
  std::vector<POOL_TRACKER_TABLE> entries(64);
  TagTable table;
  table.Init(entries.data(), 64);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (uint32_t i = 0; i < 40000; ++i) table.CountAllocation(0, 1 + i % 40, false, 1);
    });
  }
  for (auto& thread : threads) thread.join();
  std::set<int32_t> tags;
  for (const auto& entry : entries) {
    if (entry.Key == 0) continue;
    EXPECT_TRUE(tags.insert(entry.Key).second) << "one entry a tag";
    EXPECT_EQ(entry.NonPagedBytes, 4000u);
  }
  EXPECT_EQ(tags.size(), 40u);
}

TEST(ExBigPageTable, FindsRemovesAndGrows) {
  std::vector<POOL_TRACKER_BIG_PAGES> small(8), large(64);
  BigPageTable table;
  table.Init(small.data(), 8);
  POOL_TRACKER_BIG_PAGES entry = {};
  for (uint64_t i = 1; i <= 6; ++i) {
    entry.Va = 0xFFFFAB0000000000 + i * 4096;
    entry.NumberOfBytes = i;
    table.Insert(entry);
  }
  EXPECT_TRUE(table.NeedsGrowth());
  POOL_TRACKER_BIG_PAGES removed = {};
  EXPECT_TRUE(table.Remove(0xFFFFAB0000003000, &removed));
  EXPECT_EQ(removed.NumberOfBytes, 3u);
  EXPECT_FALSE(table.Remove(0xFFFFAB0000003000, &removed)) << "freed twice";
  EXPECT_FALSE(table.Remove(0, &removed));
  EXPECT_FALSE(table.Remove(1, &removed));
  table.MoveTo(large.data(), 64);
  EXPECT_EQ(table.live(), 5u);
  for (uint64_t i = 1; i <= 6; ++i) {
    EXPECT_EQ(table.FindOrNull(0xFFFFAB0000000000 + i * 4096) != nullptr, i != 3);
  }
}

TEST(ExBigPageTable, RandomUseAgreesWithASet) {
  std::vector<POOL_TRACKER_BIG_PAGES> entries(256);
  BigPageTable table;
  table.Init(entries.data(), 256);
  std::set<uint64_t> model;
  std::mt19937 random(3);
  for (int step = 0; step < 50000; ++step) {
    const uint64_t va = 0x10000 + (random() % 400) * 4096;
    POOL_TRACKER_BIG_PAGES entry = {};
    if (table.IsFull()) {
      std::vector<POOL_TRACKER_BIG_PAGES> fresh(256);
      table.MoveTo(fresh.data(), 256);
      entries.swap(fresh);
    }
    if (model.size() < 150 && random() % 2 == 0 && model.count(va) == 0) {
      entry.Va = va;
      table.Insert(entry);
      model.insert(va);
    } else {
      ASSERT_EQ(table.Remove(va, &entry), model.erase(va) == 1);
    }
    ASSERT_EQ(table.live(), model.size());
  }
}

}  // namespace
}  // namespace ex
