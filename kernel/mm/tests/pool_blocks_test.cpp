#include "ex/pool_blocks.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <vector>

namespace ex {
namespace {

void* const kCaller = reinterpret_cast<void*>(0xFFFFF80212345678);

class ExPoolBlocks : public testing::Test {
 protected:
  ExPoolBlocks() { pool.Init(3, false); }
  ~ExPoolBlocks() override {
    for (void* page : pages) std::free(page);
  }
  void AddPage() {
    pages.push_back(std::aligned_alloc(kPoolPage, kPoolPage));
    std::memset(pages.back(), 0xCC, kPoolPage);
    pool.AddPage(pages.back());
  }
  void* Allocate(uint64_t size, bool aligned = false) {
    PoolFinding finding;
    void* block = pool.Allocate(size, {'abcd', kCaller, 0}, aligned, &finding);
    if (block == nullptr) {
      AddPage();
      block = pool.Allocate(size, {'abcd', kCaller, 0}, aligned, &finding);
    }
    EXPECT_EQ(finding.error, PoolError::kNone);
    return block;
  }
  void Free(void* block) {
    void* empty = nullptr;
    ASSERT_EQ(CheckedFree(block, &empty), PoolError::kNone);
    if (empty != nullptr) pool.AddPage(empty);
  }
  // As the owner of the pool does it: look first.
  PoolError CheckedFree(void* block, void** empty) {
    *empty = nullptr;
    PoolFinding finding = pool.Check(block);
    if (!finding && !BlockPool::ClaimForFree(block)) return PoolError::kAlreadyFree;
    if (!finding) finding = pool.Free(block, empty);
    return finding.error;
  }
  int InUse() {
    int count = 0;
    for (void* page : pages) {
      EXPECT_TRUE(BlockPool::ForEachInUse(page, [&](POOL_HEADER* header, void*) {
        EXPECT_EQ(header->PoolTag, 'abcd');
        EXPECT_EQ(BlockPool::CallerOf(header), kCaller);
        ++count;
      }));
    }
    return count;
  }

  BlockPool pool;
  std::vector<void*> pages;
};

TEST_F(ExPoolBlocks, HeaderIsWindowsLayout) {
  auto* block = static_cast<uint8_t*>(Allocate(100));
  const uint8_t* header = block - 16;
  EXPECT_EQ(header[0], 0);           // PreviousSize
  EXPECT_EQ(header[1], 3);           // PoolIndex
  EXPECT_EQ(header[2], 8);           // BlockSize: (100 + 16) / 16 rounded up
  EXPECT_EQ(header[3], kPoolInUse);  // PoolType
  EXPECT_EQ(*reinterpret_cast<const uint32_t*>(header + 4), static_cast<uint32_t>('abcd'));
}

TEST_F(ExPoolBlocks, EverySizeFits) {
  for (uint64_t size = 0; size <= kLargestBlock; ++size) {
    void* block = Allocate(size);
    ASSERT_NE(block, nullptr);
    ASSERT_GE(BlockPool::PayloadOf(block), size);
    ASSERT_EQ(reinterpret_cast<uintptr_t>(block) % 16, 0u);
    ASSERT_EQ(BlockPool::RequestedOf(block), size);
    std::memset(block, 0x5A, size);
    Free(block);
  }
  EXPECT_EQ(pages.size(), 1u);
  EXPECT_EQ(pool.whole_pages(), 1u);
}

TEST_F(ExPoolBlocks, CacheAlignedBlocksAre) {
  std::vector<void*> blocks;
  for (int i = 0; i < 300; ++i) {
    blocks.push_back(Allocate(static_cast<uint64_t>(i * 13 % 900), i % 3 != 0));
    if (i % 3 != 0) ASSERT_EQ(reinterpret_cast<uintptr_t>(blocks.back()) % 64, 0u);
  }
  EXPECT_EQ(InUse(), 300);
  for (void* block : blocks) Free(block);
  EXPECT_EQ(InUse(), 0);
  EXPECT_EQ(pool.whole_pages(), pages.size());
}

TEST_F(ExPoolBlocks, AnEmptyPageComesBack) {
  void* a = Allocate(1000);
  void* b = Allocate(1000);
  void* empty = nullptr;
  EXPECT_EQ(CheckedFree(a, &empty), PoolError::kNone);
  EXPECT_EQ(empty, nullptr);
  EXPECT_EQ(CheckedFree(b, &empty), PoolError::kNone);
  EXPECT_EQ(empty, pages[0]);
}

TEST_F(ExPoolBlocks, DoubleFreeIsSeen) {
  void* a = Allocate(100);
  Allocate(100);
  Free(a);
  void* empty = nullptr;
  EXPECT_EQ(CheckedFree(a, &empty), PoolError::kAlreadyFree);
}

TEST_F(ExPoolBlocks, OverrunIntoTheNextHeaderIsSeen) {
  auto* a = static_cast<uint8_t*>(Allocate(96));
  void* b = Allocate(96);
  void* empty = nullptr;
  std::memset(a, 'x', 96 + 8);
  EXPECT_EQ(CheckedFree(a, &empty), PoolError::kNeighbourSize);
  EXPECT_EQ(pool.CheckPage(pages[0]).error, PoolError::kBadHeader);
  EXPECT_NE(CheckedFree(b, &empty), PoolError::kNone);
}

TEST_F(ExPoolBlocks, EachByteBehindABlockIsGuarded) {
  for (uint64_t size = 0; size < 64; ++size) {
    auto* block = static_cast<uint8_t*>(Allocate(size));
    const uint64_t payload = BlockPool::PayloadOf(block);
    for (uint64_t i = size; i < payload; ++i) {
      block[i] ^= 1;
      EXPECT_EQ(pool.Check(block).error, PoolError::kOverrun);
      EXPECT_EQ(pool.Check(block).where, block + i);
      block[i] ^= 1;
    }
    Free(block);
  }
}

TEST_F(ExPoolBlocks, EachBitOfAHeaderIsGuarded) {
  Allocate(100);
  auto* block = static_cast<uint8_t*>(Allocate(100));
  Allocate(100);
  int unseen = 0;
  for (int byte = -16; byte < 0; ++byte) {
    for (int bit = 0; bit < 8; ++bit) {
      block[byte] = static_cast<uint8_t>(block[byte] ^ (1 << bit));
      if (!pool.Check(block)) ++unseen;
      block[byte] = static_cast<uint8_t>(block[byte] ^ (1 << bit));
    }
  }
  // Not covered: the paged, quota and spare bits of PoolType.
  EXPECT_LE(unseen, 6);
  EXPECT_EQ(pool.Check(block).error, PoolError::kNone);
}

TEST_F(ExPoolBlocks, AWriteToACachedBlockIsSeen) {
  auto* block = static_cast<uint8_t*>(Allocate(40));
  ASSERT_TRUE(BlockPool::ClaimForFree(block));
  EXPECT_FALSE(BlockPool::ClaimForFree(block)) << "freed twice";
  EXPECT_EQ(pool.Check(block).error, PoolError::kAlreadyFree);
  EXPECT_EQ(InUse(), 0);
  BlockPool::WriteFreedPattern(block);
  EXPECT_FALSE(BlockPool::CheckFreedPattern(block));
  block[9] ^= 4;
  EXPECT_EQ(BlockPool::CheckFreedPattern(block).error, PoolError::kWrittenAfterFree);
  BlockPool::Relabel(block, 33, {'abcd', kCaller, 0});
  EXPECT_EQ(BlockPool::RequestedOf(block), 33u);
  EXPECT_EQ(pool.Check(block).error, PoolError::kNone);
  EXPECT_EQ(InUse(), 1);
}

TEST_F(ExPoolBlocks, DamagedFreeLinksAreSeen) {
  auto* a = static_cast<uint8_t*>(Allocate(96));
  auto* b = static_cast<uint8_t*>(Allocate(96));
  Allocate(96);
  Free(b);
  std::memset(a, 0, 96);
  const uint64_t links[2] = {reinterpret_cast<uint64_t>(a), reinterpret_cast<uint64_t>(a)};
  std::memcpy(b, links, sizeof(links));  // a write after free
  void* empty = nullptr;
  EXPECT_EQ(CheckedFree(a, &empty), PoolError::kFreeListLinks);
}

TEST_F(ExPoolBlocks, AnAddressInsideABlockIsRefused) {
  auto* a = static_cast<uint8_t*>(Allocate(512));
  std::memset(a, 0, 512);
  EXPECT_FALSE(BlockPool::IsBlockOfPage(a + 64));
  EXPECT_TRUE(BlockPool::IsBlockOfPage(a));
  void* empty = nullptr;
  EXPECT_NE(CheckedFree(a + 64, &empty), PoolError::kNone);
  EXPECT_NE(CheckedFree(a + 8, &empty), PoolError::kNone);
}

TEST_F(ExPoolBlocks, RandomUseKeepsContents) {
  std::mt19937 random(7);
  std::map<uint8_t*, std::pair<uint64_t, uint8_t>> live;
  for (int step = 0; step < 30000; ++step) {
    if (live.size() < 200 && random() % 2 == 0) {
      const uint64_t size = random() % 3 == 0 ? random() % (kLargestBlock + 1) : random() % 200;
      auto* block = static_cast<uint8_t*>(Allocate(size, random() % 8 == 0));
      const auto fill = static_cast<uint8_t>(random());
      std::memset(block, fill, size);
      live[block] = {size, fill};
    } else if (!live.empty()) {
      auto victim = std::next(live.begin(), static_cast<long>(random() % live.size()));
      for (uint64_t i = 0; i < victim->second.first; ++i) ASSERT_EQ(victim->first[i], victim->second.second);
      Free(victim->first);
      live.erase(victim);
    }
  }
  EXPECT_EQ(InUse(), static_cast<int>(live.size()));
  for (auto& [block, contents] : live) Free(block);
  EXPECT_EQ(pool.whole_pages(), pages.size());
}

}  // namespace
}  // namespace ex
