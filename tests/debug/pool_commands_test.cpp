// !pool, !poolval, !poolused on fabricated pool.
#include <gtest/gtest.h>

#include "fabricated_machine.h"

namespace fabricated {
namespace {

const std::string kDir = FABRICATED_DIR;
constexpr uint64_t kPool = 0xFFFFAB03'00000000, kSpecial = 0xFFFFAB04'00000000;
constexpr uint64_t kPage = 0x1000, kUnit = 16, kInUse = 2;

uint32_t Tag(const char* text) {
  uint32_t tag = 0;
  for (int i = 3; i >= 0; --i) tag = tag << 8 | static_cast<uint8_t>(text[i]);
  return tag;
}

std::string Hex16(uint64_t value) {
  char text[20];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

class PoolCommands : public ::testing::Test {
 protected:
  PoolCommands() : machine_(1), builder_(machine_.builder()) {
    driver_ = builder_.LoadImage(kDir + "/drivers/TestDriver.sys", "TestDriver.sys");
    machine_.AddProcess({.pid = 0, .name = "Idle"});
    const uint64_t system = machine_.AddProcess({.pid = 4, .name = "System"});
    machine_.AddThread(system, {.tid = 0x30, .state = kRunning, .processor = 0});
    builder_.Put<uint64_t>(builder_.Symbol("MmNonPagedPoolStart"), kPool);
    builder_.Put<uint64_t>(builder_.Symbol("MmNonPagedPoolEnd"), kPool + 0x100000);
    builder_.Map(kPool, kPage);
  }

  // The next block of the page.
  void Block(uint64_t bytes, const char* tag, bool in_use, uint64_t caller = 0) {
    Structure header = builder_.At("_POOL_HEADER", kPool + next_);
    header.Set("PreviousSize", previous_ / kUnit).Set("BlockSize", bytes / kUnit).Set("PoolTag", Tag(tag));
    header.Set("PoolType", in_use ? kInUse : 0).Set("CallerAddress", caller & 0x7FFFFFFFFFF);
    next_ += bytes;
    previous_ = bytes;
  }

  std::string Ask(const std::string& line) {
    if (!opened_.session) opened_ = machine_.Open(true);
    return opened_.Run(line);
  }

  Machine machine_;
  DumpBuilder& builder_;
  Machine::Opened opened_;
  uint64_t driver_ = 0, next_ = 0, previous_ = 0;
};

TEST_F(PoolCommands, NamesTheBlockItsTagAndItsAllocator) {
  Block(0x40, "Aaaa", true);
  Block(0x80, "Bbbb", true, driver_ + 0x1120);
  Block(kPage - 0xC0, "Cccc", false);
  const std::string text = Ask("!pool " + Hex16(kPool + 0x58));
  EXPECT_NE(text.find("*" + Hex16(kPool + 0x40) + " size:   80 previous size:   40  (Allocated)   *Bbbb\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("Allocated at TestDriver!FileCreationThread+0x20\n"), std::string::npos) << text;
  EXPECT_NE(text.find(" " + Hex16(kPool + 0xC0) + " size:  f40 previous size:   80  (Free)"),
            std::string::npos)
      << text;
  EXPECT_NE(Ask("!poolval " + Hex16(kPool)).find("3 blocks, every header fits its neighbours."),
            std::string::npos);
}

TEST_F(PoolCommands, NamesTheBlockInFrontOfADamagedHeader) {
  Block(0x40, "Aaaa", true, driver_ + 0x1120);
  Block(0x80, "Bbbb", true);
  Block(kPage - 0xC0, "Cccc", false);
  builder_.Put<uint64_t>(kPool + 0x40, 0x4141414141414141);  // the first block ran over
  const std::string text = Ask("!pool " + Hex16(kPool + 0x58));
  EXPECT_NE(text.find(Hex16(kPool + 0x40) + " is not a valid block header"), std::string::npos) << text;
  EXPECT_NE(text.find("The block before it, " + Hex16(kPool + 0x10) + " (tag Aaaa), ran over its end"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("Allocated at TestDriver!FileCreationThread+0x20\n"), std::string::npos) << text;
}

TEST_F(PoolCommands, FindsAnAllocationOfWholePages) {
  Structure entry = builder_.New("_POOL_TRACKER_BIG_PAGES");
  entry.Set("Va", kPool + 0x2000).Set("Key", Tag("Bigg")).Set("NumberOfBytes", 0x2345);
  entry.Set("CallerAddress", driver_ + 0x1120);
  builder_.Put<uint64_t>(builder_.Symbol("PoolBigPageTable"), entry.address());
  builder_.Put<uint64_t>(builder_.Symbol("PoolBigPageTableSize"), 1);
  const std::string text = Ask("!pool " + Hex16(kPool + 0x3000));
  EXPECT_NE(
      text.find("*" + Hex16(kPool + 0x2000) + " : large page allocation, tag is Bigg, size is 0x2345 bytes"),
      std::string::npos)
      << text;
}

TEST_F(PoolCommands, SpecialPoolTellsWhoFreedTheBlock) {
  Structure slots = builder_.New("_MI_SPECIAL_POOL_SLOT");
  slots.Set("State", 2).Set("Tag", Tag("Spec")).Set("NumberOfBytes", 0x20).Set("Offset", 0xFE0);
  slots.Set("AllocatorCaller", driver_ + 0x1110).Set("FreeCaller", driver_ + 0x1120);
  builder_.Put<uint64_t>(builder_.Symbol("MmSpecialPoolStart"), kSpecial);
  builder_.Put<uint64_t>(builder_.Symbol("MmSpecialPoolEnd"), kSpecial + 0x2000);
  builder_.Put<uint64_t>(builder_.Symbol("MiSpecialPoolSlots"), slots.address());
  const std::string text = Ask("!pool " + Hex16(kSpecial + 0xFE8));
  EXPECT_NE(text.find("region is SpecialPool"), std::string::npos) << text;
  EXPECT_NE(text.find("special pool allocation, tag is Spec, size is 0x20 bytes, freed"), std::string::npos)
      << text;
  EXPECT_NE(text.find("Freed at TestDriver!FileCreationThread+0x20\n"), std::string::npos) << text;
}

TEST_F(PoolCommands, SumsATagAndSaysWhatIsNoPool) {
  Structure entry = builder_.New("_POOL_TRACKER_TABLE");
  entry.Set("Key", Tag("Used")).Set("NonPagedAllocs", 5).Set("NonPagedFrees", 2).Set("NonPagedBytes", 0x300);
  builder_.Put<uint64_t>(builder_.Symbol("PoolTrackTable"), entry.address());
  builder_.Put<uint64_t>(builder_.Symbol("PoolTrackTableSize"), 1);
  const std::string text = Ask("!poolused");
  EXPECT_NE(text.find("Used                5     2  768"), std::string::npos) << text;
  EXPECT_NE(Ask("!pool " + Hex16(driver_)).find("is not in a pool"), std::string::npos);
}

}  // namespace
}  // namespace fabricated
