#include "formats/kdump/dump.h"
#include "formats/kdump/tagged_data.h"

#include <cstring>
#include <span>

#include <gtest/gtest.h>

namespace kdump {
namespace {

std::vector<std::byte> Page(uint8_t fill) {
  return std::vector<std::byte>(kPageSize, std::byte{fill});
}

void Append(std::vector<std::byte>& out, const std::vector<std::byte>& more) {
  out.insert(out.end(), more.begin(), more.end());
}

uint8_t First(const Dump& dump, uint64_t pfn) {
  const auto page = dump.Page(pfn);
  return page ? static_cast<uint8_t>((*page)[0]) : 0xff;
}

std::vector<std::byte> FullDump() {
  const PhysicalRun runs[] = {{1, 2}, {0x100, 1}};
  auto file = *LayOutFull(NewHeader(), runs);
  for (const uint8_t fill : {1, 2, 3}) Append(file, Page(fill));
  return file;
}

std::vector<std::byte> BitmapDump(DumpType type) {
  std::vector<uint64_t> bitmap(4);
  bitmap[0] = 0b1010;     // pages 1, 3
  bitmap[3] = 1ull << 7;  // page 199
  auto file = *LayOutBitmap(NewHeader(), type, bitmap, 200);
  for (const uint8_t fill : {1, 2, 3}) Append(file, Page(fill));
  return file;
}

// RDMP as real dumps have it: metadata directly in front of the first page.
std::vector<std::byte> RangeDump(DumpType type) {
  Header64 header = NewHeader();
  header.Type = static_cast<uint32_t>(type);
  std::vector<std::byte> file(0x3000);
  std::memcpy(file.data(), &header, sizeof header);
  const auto put32 = [&](size_t at, uint32_t value) { std::memcpy(file.data() + 0x2000 + at, &value, 4); };
  const auto put64 = [&](size_t at, uint64_t value) { std::memcpy(file.data() + 0x2000 + at, &value, 8); };
  put32(0, 0x40);
  put32(4, kRangesSignature);
  put32(8, kValidDump32);
  put64(0x10, 0x3000 - 0x2020);
  put64(0x18, 0x3000);
  put32(0x20, 2);
  put64(0x30, 7);
  put64(0x38, 2);
  put64(0x40, 3);
  put64(0x48, 1);
  for (const uint8_t fill : {7, 8, 3}) Append(file, Page(fill));
  return file;
}

TEST(Dump, FullMemory) {
  const auto file = FullDump();
  const auto dump = Dump::Parse(file);
  ASSERT_TRUE(dump) << dump.error().message;
  EXPECT_EQ(First(*dump, 1), 1);
  EXPECT_EQ(First(*dump, 2), 2);
  EXPECT_EQ(First(*dump, 0x100), 3);
  EXPECT_FALSE(dump->Page(0));
  EXPECT_FALSE(dump->Page(3));
  EXPECT_FALSE(dump->Page(UINT64_MAX));
  EXPECT_EQ(dump->header().RequiredDumpSpace, file.size());
  EXPECT_EQ(dump->header().PhysicalMemoryBlock.NumberOfPages, 3u);
  EXPECT_EQ(dump->PresentRuns().size(), 2u);
}

TEST(Dump, Bitmaps) {
  for (const DumpType type : {DumpType::kBitmapFull, DumpType::kBitmapKernel}) {
    const auto file = BitmapDump(type);
    const auto dump = Dump::Parse(file);
    ASSERT_TRUE(dump) << dump.error().message;
    EXPECT_EQ(First(*dump, 1), 1);
    EXPECT_EQ(First(*dump, 3), 2);
    EXPECT_EQ(First(*dump, 199), 3);
    EXPECT_FALSE(dump->Page(2));
    EXPECT_FALSE(dump->Page(10000));
    EXPECT_EQ(dump->present_pages(), 3u);
    EXPECT_EQ(dump->page_limit(), 256u) << "a multiple of 64";
    const auto header = *base::SpanReader(file).Get<BitmapHeader>(0x2000);
    EXPECT_EQ(header.FirstPage % kPageSize, 0u);
    EXPECT_EQ(dump->header().RequiredDumpSpace, file.size());
  }
}

TEST(Dump, UnalignedFirstPageIsRead) {
  auto file = BitmapDump(DumpType::kBitmapKernel);
  file.insert(file.begin() + 0x2100, 0x38, std::byte{0});
  const uint64_t first_page = 0x3038;
  std::memcpy(file.data() + 0x2020, &first_page, 8);
  const auto dump = Dump::Parse(file);
  ASSERT_TRUE(dump) << dump.error().message;
  EXPECT_EQ(First(*dump, 199), 3);
}

TEST(Dump, Ranges) {
  for (const DumpType type :
       {DumpType::kKernelRanges, DumpType::kKernelUserRanges, DumpType::kCompleteRanges}) {
    const auto file = RangeDump(type);
    const auto dump = Dump::Parse(file);
    ASSERT_TRUE(dump) << dump.error().message;
    EXPECT_EQ(First(*dump, 7), 7);
    EXPECT_EQ(First(*dump, 8), 8);
    EXPECT_EQ(First(*dump, 3), 3);
    EXPECT_FALSE(dump->Page(9));
  }
}

TEST(Dump, Triage) {
  Header64 header = NewHeader();
  header.Type = static_cast<uint32_t>(DumpType::kTriage);
  std::vector<std::byte> file(0x4000);
  std::memcpy(file.data(), &header, sizeof header);
  TriageHeader triage{};
  triage.ValidOffset = 0x3ffc;
  triage.CallStackOffset = 0x3000;
  triage.SizeOfCallStack = 0x20;
  triage.TopOfStack = 0xfffff00000001000;
  triage.DataBlocksOffset = 0x2800;
  triage.DataBlocksCount = 1;
  std::memcpy(file.data() + 0x2000, &triage, sizeof triage);
  const uint64_t block[] = {0xffffe00000000123, 0x3500ull | 3ull << 32};
  std::memcpy(file.data() + 0x2800, block, sizeof block);
  std::memcpy(file.data() + 0x3500, "abc", 3);
  EXPECT_FALSE(Dump::Parse(file)) << "without its end mark it is cut off";
  std::memcpy(file.data() + 0x3ffc, "TRGD", 4);
  const auto dump = Dump::Parse(file);
  ASSERT_TRUE(dump) << dump.error().message;
  ASSERT_EQ(dump->virtual_blocks().size(), 2u);
  EXPECT_EQ(dump->virtual_blocks()[0].address, 0xffffe00000000123u);
  EXPECT_EQ(std::memcmp(dump->virtual_blocks()[0].bytes.data(), "abc", 3), 0);
  EXPECT_EQ(dump->virtual_blocks()[1].bytes.size(), 0x20u);
}

TEST(Dump, WrongFilesGiveErrorsThatSayWhy) {
  const auto message = [](const std::vector<std::byte>& file) {
    const auto dump = Dump::Parse(file);
    return dump ? std::string() : dump.error().message;
  };
  EXPECT_EQ(message({}), "not a crash dump: only 0 bytes");
  auto file = FullDump();
  std::memcpy(file.data() + 4, "DUMP", 4);
  EXPECT_EQ(message(file), "a 32-bit crash dump; only 64-bit dumps (PAGEDU64) are supported");
  file = FullDump();
  file.resize(0x1800);
  EXPECT_EQ(message(file), "cut off: the header needs 0x2000 bytes, there are 0x1800");
  file = FullDump();
  file[0x88] = std::byte{43};
  EXPECT_EQ(message(file), "corrupt: 43 memory runs (1 to 42 are possible)");
  file = FullDump();
  file[0xf98] = std::byte{99};
  EXPECT_EQ(message(file), "unknown dump type 0x63");
  file = BitmapDump(DumpType::kBitmapKernel);
  file.resize(0x2040);
  EXPECT_EQ(message(file), "cut off: the page bitmap is incomplete");
  file = BitmapDump(DumpType::kBitmapKernel);
  file[0x2000] = std::byte{0};
  EXPECT_EQ(message(file), "corrupt: no bitmap header (FDMP or SDMP) at 0x2000");
  file = BitmapDump(DumpType::kBitmapKernel);
  std::memset(file.data() + 0x2024, 0xff, 4);
  EXPECT_NE(message(file).find("first page"), std::string::npos);
}

TEST(Dump, CutPagesAreAWarningAndTheRestReadable) {
  for (auto file : {FullDump(), BitmapDump(DumpType::kBitmapKernel)}) {
    file.resize(file.size() - 10);
    const auto dump = Dump::Parse(file);
    ASSERT_TRUE(dump);
    EXPECT_NE(dump->warning().find("cut off"), std::string::npos);
    EXPECT_EQ(First(*dump, 1), 1);
    EXPECT_EQ(dump->present_pages(), 2u);
  }
}

TEST(Dump, WriterChecksItsInput) {
  const PhysicalRun overlapping[] = {{1, 4}, {3, 1}};
  EXPECT_FALSE(LayOutFull(NewHeader(), overlapping));
  EXPECT_FALSE(LayOutFull(NewHeader(), {}));
  EXPECT_FALSE(LayOutFull(NewHeader(), std::vector<PhysicalRun>(43, PhysicalRun{0, 0})));
  EXPECT_FALSE(LayOutBitmap(NewHeader(), DumpType::kBitmapKernel, std::vector<uint64_t>(1), 65));
  EXPECT_FALSE(LayOutBitmap(NewHeader(), DumpType::kFull, std::vector<uint64_t>(1), 64));
}

// A file header and two blocks, as the kernel lays them out.
std::vector<std::byte> TaggedArea() {
  std::vector<std::byte> area;
  const auto put = [&](std::initializer_list<uint32_t> words) {
    const auto bytes = std::as_bytes(std::span(words.begin(), words.size()));
    area.insert(area.end(), bytes.begin(), bytes.end());
  };
  put({0x706D7544, 0x626F6C42, 0x10, 0xF0005867});
  put({0x20, 0x12345678, 0xDEF09ABC, 0x04030201, 0x08070605, 3, 0, 5});
  put({0x00636261, 0});  // "abc"
  put({0x20, 1, 2, 3, 4, 8, 0, 0});
  put({0x31303030, 0x32303030});
  return area;
}

TEST(TaggedData, BlocksBehindThePagesAreFound) {
  for (auto file : {FullDump(), BitmapDump(DumpType::kBitmapKernel), RangeDump(DumpType::kKernelRanges)}) {
    Append(file, TaggedArea());
    const auto dump = Dump::Parse(file);
    ASSERT_TRUE(dump.has_value());
    const auto blocks = ParseTaggedData(dump->BehindPages());
    ASSERT_EQ(blocks.size(), 2u);
    EXPECT_EQ(TagText(blocks[0].tag), "{12345678-9ABC-DEF0-0102-030405060708}");
    EXPECT_EQ(std::memcmp(blocks[0].bytes.data(), "abc", 3), 0);
    EXPECT_EQ(blocks[0].bytes.size(), 3u);
    EXPECT_EQ(blocks[1].bytes.size(), 8u);
  }
}

TEST(TaggedData, CutOffAnywhereItGivesTheWholeBlocks) {
  const auto area = TaggedArea();
  for (size_t length = 0; length <= area.size(); ++length) {
    const auto blocks = ParseTaggedData(base::Bytes(area).first(length));
    const size_t expected = length >= area.size() ? 2 : length >= 0x33 ? 1 : 0;
    EXPECT_EQ(blocks.size(), expected) << length;
  }
}

}  // namespace
}  // namespace kdump
