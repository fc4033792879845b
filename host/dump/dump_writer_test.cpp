// The dump writer: what it writes is read back by the dump parser; hostile descriptions; a disk that is full.
#include "dump/dump_writer.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mapped_file.h"
#include "formats/kdump/dump.h"

namespace dump {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kHeader = 0x300000;
constexpr uint64_t kBitmap = 0x400000;
constexpr uint64_t kSize = 64ull << 20;
constexpr uint64_t kPages = kSize / 4096;

class Writing : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/dump_writer_test-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    auto ram = boot::GuestRam::Create(kSize);
    ASSERT_TRUE(ram);
    ram_ = std::move(*ram);
    header_ = ram_.Object<kdump::Header64>(kHeader);
    *header_ = kdump::NewHeader();
    header_->PhysicalMemoryBlock.NumberOfRuns = 2;
    header_->PhysicalMemoryBlock.NumberOfPages = 0x9E + kPages - 0x100;
    header_->PhysicalMemoryBlock.Run[0] = {1, 0x9E};
    header_->PhysicalMemoryBlock.Run[1] = {0x100, kPages - 0x100};
    for (const uint64_t page : std::vector<uint64_t>{0x100ull, 0x101ull, 0x7FFull, kPages - 1}) {
      std::memset(ram_.At(page * 4096, 4096)->data(), static_cast<int>(page & 0x7F) + 1, 4096);
      Bit(page);
    }
    description_ = {kHeader, kBitmap, kPages, 0};
  }
  void TearDown() override { fs::remove_all(folder_); }

  void Bit(uint64_t page) { *ram_.Object<uint64_t>(kBitmap + page / 64 * 8) |= 1ull << page % 64; }
  std::string Path() const { return folder_ + "/m.dmp"; }
  void ExpectPage(const kdump::Dump& dump, uint64_t page) {
    const auto bytes = dump.Page(page);
    ASSERT_TRUE(bytes) << page;
    EXPECT_EQ(std::memcmp(bytes->data(), ram_.At(page * 4096, 4096)->data(), 4096), 0) << page;
  }
  size_t FilesInFolder() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  std::string folder_;
  boot::GuestRam ram_;
  kdump::Header64* header_ = nullptr;
  boot::DumpDescription description_{};
};

TEST_F(Writing, KernelDumpHoldsTheBitmapsPages) {
  auto done = WriteDump(ram_, description_, DumpType::kKernel, Path());
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->pages, 4u);
  auto file = base::MappedFile::Open(Path());
  ASSERT_TRUE(file);
  EXPECT_EQ(file->size(), done->bytes);
  auto dump = kdump::Dump::Parse(file->bytes());
  ASSERT_TRUE(dump) << dump.error().message;
  EXPECT_EQ(dump->type(), kdump::DumpType::kBitmapFull);
  EXPECT_EQ(dump->warning(), "");
  EXPECT_EQ(dump->header().RequiredDumpSpace, done->bytes);
  EXPECT_EQ(dump->present_pages(), 4u);
  for (const uint64_t page : std::vector<uint64_t>{0x100ull, 0x101ull, 0x7FFull, kPages - 1})
    ExpectPage(*dump, page);
  EXPECT_FALSE(dump->Page(0x102));
  uint64_t first_page = 0;
  std::memcpy(&first_page, file->bytes().data() + 0x2020, 8);
  EXPECT_EQ(first_page % 4096, 0u);
  EXPECT_EQ(FilesInFolder(), 1u);
}

TEST_F(Writing, FullDumpFollowsTheHeadersRunsAndLeavesHoles) {
  auto done = WriteDump(ram_, description_, DumpType::kFull, Path());
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->pages, 0x9E + kPages - 0x100);
  auto file = base::MappedFile::Open(Path());
  ASSERT_TRUE(file);
  auto dump = kdump::Dump::Parse(file->bytes());
  ASSERT_TRUE(dump) << dump.error().message;
  EXPECT_EQ(dump->type(), kdump::DumpType::kFull);
  for (const uint64_t page : std::vector<uint64_t>{1ull, 0x100ull, 0x7FFull, 0x1234ull, kPages - 1})
    ExpectPage(*dump, page);
  EXPECT_FALSE(dump->Page(0xA0)) << "firmware's pages are in no run";
  struct stat status{};
  ASSERT_EQ(stat(Path().c_str(), &status), 0);
  EXPECT_LT(status.st_blocks * 512, 4 << 20) << "untouched memory takes no room";
}

TEST_F(Writing, ImpossibleRunsAreReplacedByAllOfRam) {
  const auto good = *header_;
  const auto expect_all = [&](const char* what) {
    auto done = WriteDump(ram_, description_, DumpType::kFull, Path());
    ASSERT_TRUE(done) << what;
    EXPECT_EQ(done->pages, kPages) << what;
    *header_ = good;
  };
  header_->PhysicalMemoryBlock.NumberOfRuns = 43;
  expect_all("too many");
  header_->PhysicalMemoryBlock.NumberOfRuns = UINT32_MAX;
  expect_all("far too many");
  header_->PhysicalMemoryBlock.Run[1].PageCount = UINT64_MAX / 2;
  expect_all("too long");
  header_->PhysicalMemoryBlock.Run[1].BasePage = UINT64_MAX;
  expect_all("wraps");
  header_->PhysicalMemoryBlock.Run[0].BasePage = 0x200;
  expect_all("out of order");
  header_->PhysicalMemoryBlock.NumberOfPages = 1;
  expect_all("wrong sum");
}

TEST_F(Writing, ImpossibleBitmapsGiveAFullDump) {
  for (const boot::DumpDescription& bad :
       {boot::DumpDescription{kHeader, kSize - 8, kPages, 0},
        boot::DumpDescription{kHeader, UINT64_MAX, kPages, 0},
        boot::DumpDescription{kHeader, kBitmap, UINT64_MAX - 63, 0},
        boot::DumpDescription{kHeader, kBitmap, 63, 0}, boot::DumpDescription{kHeader, 0, 0, 0}}) {
    auto done = WriteDump(ram_, bad, DumpType::kKernel, Path());
    ASSERT_TRUE(done);
    EXPECT_EQ(done->type, DumpType::kFull);
  }
}

TEST_F(Writing, BitsBeyondRamAreDropped) {
  Bit(kPages + 5);
  description_.bitmap_bits = kPages * 2;
  auto done = WriteDump(ram_, description_, DumpType::kKernel, Path());
  ASSERT_TRUE(done);
  EXPECT_EQ(done->pages, 4u);
}

TEST_F(Writing, AHeaderOutsideRamOrWithoutSignatureIsAnError) {
  description_.header_physical = kSize - 4096;
  EXPECT_FALSE(WriteDump(ram_, description_, DumpType::kKernel, Path()));
  description_.header_physical = UINT64_MAX;
  EXPECT_FALSE(WriteDump(ram_, description_, DumpType::kKernel, Path()));
  description_.header_physical = kHeader;
  header_->Signature = 0;
  EXPECT_FALSE(WriteDump(ram_, description_, DumpType::kKernel, Path()));
  EXPECT_EQ(FilesInFolder(), 0u) << "nothing may stay behind";
}

TEST_F(Writing, AFolderThatIsNotThereIsSaid) {
  auto done = WriteDump(ram_, description_, DumpType::kKernel, folder_ + "/absent/m.dmp");
  ASSERT_FALSE(done);
  EXPECT_NE(done.error().message.find("absent/m.dmp: No such file"), std::string::npos)
      << done.error().message;
}

TEST_F(Writing, ADiskThatFillsLeavesNoPartialFile) {
  const std::string small = folder_ + "/small";
  fs::create_directory(small);
  if (mount("tmpfs", small.c_str(), "tmpfs", 0, "size=16k") != 0)
    GTEST_SKIP() << "mounting a tmpfs is not permitted";
  auto done = WriteDump(ram_, description_, DumpType::kKernel, small + "/m.dmp");
  const bool empty = fs::is_empty(small);
  umount(small.c_str());
  ASSERT_FALSE(done);
  EXPECT_NE(done.error().message.find("No space left on device"), std::string::npos) << done.error().message;
  EXPECT_TRUE(empty);
}

TEST_F(Writing, MemoryBeyondThreeGigabytesIsInTheDump) {
  auto ram = boot::GuestRam::Create(4096ull << 20);
  ASSERT_TRUE(ram);
  ram_ = std::move(*ram);
  header_ = ram_.Object<kdump::Header64>(kHeader);
  *header_ = kdump::NewHeader();
  const uint64_t high = (4096ull << 20) / 4096 + 3;
  std::memset(ram_.At(high * 4096, 4096)->data(), 0x5A, 4096);
  Bit(high);
  Bit(0xC0001);  // in the hole: not RAM
  description_ = {kHeader, kBitmap, 0x140000, 0};
  auto done = WriteDump(ram_, description_, DumpType::kKernel, Path());
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->pages, 1u);
  auto file = base::MappedFile::Open(Path());
  auto dump = kdump::Dump::Parse(file->bytes());
  ASSERT_TRUE(dump);
  ExpectPage(*dump, high);
}

TEST_F(Writing, DuplicatesAreTheSameBytes) {
  ASSERT_TRUE(WriteDump(ram_, description_, DumpType::kKernel, Path()));
  const std::string copy = folder_ + "/copy.dmp";
  ASSERT_TRUE(DuplicateDump(Path(), copy));
  ASSERT_TRUE(DuplicateDump(Path(), copy)) << "over an older one";
  EXPECT_EQ(*base::ReadWholeFile(copy), *base::ReadWholeFile(Path()));
  // To another file system, where there are no hard links to this one.
  const std::string far = "/dev/shm/dump_writer_test-" + std::to_string(getpid());
  ASSERT_TRUE(DuplicateDump(Path(), far));
  EXPECT_EQ(*base::ReadWholeFile(far), *base::ReadWholeFile(Path()));
  unlink(far.c_str());
  EXPECT_EQ(FilesInFolder(), 2u);
  EXPECT_FALSE(DuplicateDump(folder_ + "/absent", copy));
}

}  // namespace
}  // namespace dump
