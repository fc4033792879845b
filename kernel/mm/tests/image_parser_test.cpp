// The loader's parser over images made here, byte by byte, and broken one way at a time.
#include "mm/image_parser.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace mm {
namespace {

constexpr uint32_t kNt = 0x80;
constexpr uint32_t kOptional = kNt + 24;
constexpr uint32_t kSections = kOptional + 240;
constexpr uint32_t kChecksumAt = kOptional + 64;
constexpr uint64_t kBase = 0x140000000;

// .text at 0x1000 (file 0x400), .data at 0x2000 (file 0x600), both 0x200 bytes; the image is 0x3000 bytes.
class Image {
 public:
  Image() : bytes(0x800) {
    Put<uint16_t>(0, 0x5A4D);
    Put<uint32_t>(60, kNt);
    Put<uint32_t>(kNt, 0x4550);
    Put<uint16_t>(kNt + 4, 0x8664);
    Put<uint16_t>(kNt + 6, 2);
    Put<uint16_t>(kNt + 20, 240);
    Put<uint16_t>(kNt + 22, 0x22);
    Put<uint16_t>(kOptional, 0x20B);
    Put<uint32_t>(kOptional + 16, 0x1010);
    Put<uint64_t>(kOptional + 24, kBase);
    Put<uint32_t>(kOptional + 32, 0x1000);
    Put<uint32_t>(kOptional + 36, 0x200);
    Put<uint32_t>(kOptional + 56, 0x3000);
    Put<uint32_t>(kOptional + 60, 0x400);
    Put<uint16_t>(kOptional + 68, 1);
    Put<uint32_t>(kOptional + 108, 16);
    Section(0, ".text", 0x1000, 0x200, 0x400, 0x200, 0x60000020);
    Section(1, ".data", 0x2000, 0x1000, 0x600, 0x200, 0xC0000040);
  }

  template <typename T>
  void Put(uint64_t offset, T value) {
    std::memcpy(&bytes.at(offset + sizeof(T) - 1) - (sizeof(T) - 1), &value, sizeof(T));
  }
  void Section(uint32_t index, const char* name, uint32_t rva, uint32_t size, uint32_t raw, uint32_t raw_size,
               uint32_t flags) {
    const uint32_t at = kSections + 40 * index;
    std::memcpy(&bytes[at], name, std::strlen(name));
    Put<uint32_t>(at + 8, size);
    Put<uint32_t>(at + 12, rva);
    Put<uint32_t>(at + 16, raw_size);
    Put<uint32_t>(at + 20, raw);
    Put<uint32_t>(at + 36, flags);
  }
  void Directory(uint32_t index, uint32_t rva, uint32_t size) {
    Put<uint32_t>(kOptional + 112 + 8 * index, rva);
    Put<uint32_t>(kOptional + 116 + 8 * index, size);
  }
  ImageError Parse() {
    reason = "";
    return ParseImage({bytes.data(), bytes.size()}, &info, &reason);
  }
  void ExpectInvalid(const char* says) {
    EXPECT_EQ(Parse(), ImageError::kInvalid);
    EXPECT_NE(std::string(reason).find(says), std::string::npos) << reason;
  }
  // The mapped image.
  ImageView Map() {
    EXPECT_EQ(Parse(), ImageError::kNone) << reason;
    mapped.assign(info.size_of_image, 0);
    std::memcpy(mapped.data(), bytes.data(), info.size_of_headers);
    for (uint32_t i = 0; i < info.section_count; ++i) {
      std::memcpy(&mapped[info.sections[i].rva], &bytes[info.sections[i].raw_offset],
                  info.sections[i].raw_size);
    }
    return {mapped.data(), info.size_of_image};
  }

  std::vector<uint8_t> bytes;
  std::vector<uint8_t> mapped;
  ImageInfo info;
  const char* reason = "";
};

TEST(MmImageParser, ReadsAGoodImage) {
  Image image;
  ASSERT_EQ(image.Parse(), ImageError::kNone) << image.reason;
  EXPECT_EQ(image.info.entry_rva, 0x1010u);
  EXPECT_EQ(image.info.size_of_image, 0x3000u);
  ASSERT_EQ(image.info.section_count, 2u);
  EXPECT_STREQ(image.info.sections[0].name, ".text");
  EXPECT_EQ(image.info.sections[1].virtual_size, 0x1000u);
}

TEST(MmImageParser, EveryTruncationIsRefused) {
  Image image;
  for (size_t size = 0; size < image.bytes.size(); ++size) {
    // A copy of exactly that size, so that a sanitizer sees a read past its end.
    std::vector<uint8_t> cut(image.bytes.begin(), image.bytes.begin() + static_cast<long>(size));
    ASSERT_NE(ParseImage({cut.data(), cut.size()}, &image.info, &image.reason), ImageError::kNone) << size;
  }
}

TEST(MmImageParser, SaysWhatIsWrong) {
  struct Case {
    uint32_t offset;
    uint32_t value;
    const char* says;
  };
  const Case cases[] = {
      {kNt, 0x12344550, "no PE signature"},
      {kNt + 4, 0x0002AA64, "ARM64"},
      {kNt + 4, 0x00021234, "another kind of machine"},
      {kNt + 4, 0x00008664, "no sections"},
      {kNt + 4, 0x00618664, "no sections"},
      {kOptional, 0x10B, "PE32+"},
      {kOptional + 16, 0x2010, "entry point"},
      {kOptional + 16, 0xFFFFFFF0, "entry point"},
      {kOptional + 32, 0x200, "aligned to pages"},
      {kOptional + 32, 0x1001, "aligned to pages"},
      {kOptional + 56, 0, "size of the image"},
      {kOptional + 56, 0xFFFFF000, "size of the image"},
      {kOptional + 56, 0x2000, "outside the image"},
      {kOptional + 60, 0x100, "size of the headers"},
      {kOptional + 60, 0x10000, "size of the headers"},
      {kOptional + 68, 3, "native subsystem"},
      {kOptional + 108, 17, "directories"},
      {kOptional + 112 + 8 * 9, 0x1000, "thread-local"},
      {kOptional + 112 + 8 * 1, 0xFFFFFFFF, "directory"},
      {kSections + 12, 0x1004, "aligned"},
      {kSections + 12, 0x2000, "overlap"},
      {kSections + 16, 0xFFFFFFFF, "cut"},
      {kSections + 20, 0xFFFFFF00, "cut"},
      {kSections + 40 + 8, 0xFFFFFFFF, "outside the image"},
      {60, 0x81, "aligned"},
      {60, 0xFFFFFFFC, "outside the file"},
  };
  for (const Case& c : cases) {
    Image image;
    image.Put<uint32_t>(c.offset, c.value);
    SCOPED_TRACE(testing::Message() << std::hex << c.offset << " = " << c.value);
    image.ExpectInvalid(c.says);
  }
}

TEST(MmImageParser, TellsOtherKindsOfImagesApart) {
  Image image;
  image.Put<uint16_t>(kNt + 4, 0x14C);
  EXPECT_EQ(image.Parse(), ImageError::kX86);
  image = Image();
  image.Put<uint16_t>(0, 0x4D5B);
  EXPECT_EQ(image.Parse(), ImageError::kNotMz);
  image = Image();
  image.Put<uint32_t>(kNt, 0x454E);
  EXPECT_EQ(image.Parse(), ImageError::kNe);
}

TEST(MmImageParser, StrippedRelocationsAreRefused) {
  Image image;
  image.Put<uint16_t>(kNt + 22, 0x23);
  image.ExpectInvalid("stripped");
}

TEST(MmImageParser, ChecksumIsCheckedWhereThereIsOne) {
  Image image;
  const uint32_t sum = ImageChecksum({image.bytes.data(), image.bytes.size()}, kChecksumAt);
  // Word by word, as the definition has it.
  uint32_t expected = 0;
  for (size_t i = 0; i < image.bytes.size(); i += 2) {
    expected += image.bytes[i] | image.bytes[i + 1] << 8;
    expected = (expected & 0xFFFF) + (expected >> 16);
  }
  EXPECT_EQ(sum, expected + image.bytes.size());
  image.Put<uint32_t>(kChecksumAt, sum);
  EXPECT_EQ(image.Parse(), ImageError::kNone);
  image.Put<uint8_t>(0x500, 1);
  EXPECT_EQ(image.Parse(), ImageError::kChecksumMismatch);
}

// Relocation block at 0x2100: one DIR64 at 0x2000 and padding.
Image Relocatable() {
  Image image;
  image.Put<uint64_t>(0x600, kBase + 0x1234);
  image.Put<uint32_t>(0x700, 0x2000);
  image.Put<uint32_t>(0x704, 12);
  image.Put<uint16_t>(0x708, 0xA000);
  image.Put<uint16_t>(0x70A, 0);
  image.Directory(kRelocationDirectory, 0x2100, 12);
  return image;
}

TEST(MmImageParser, Relocates) {
  Image image = Relocatable();
  const ImageView view = image.Map();
  ASSERT_EQ(Relocate(view, image.info.directories[kRelocationDirectory], 0x1000), ImageError::kNone);
  uint64_t value = 0;
  view.Read(0x2000, &value);
  EXPECT_EQ(value, kBase + 0x2234);
}

TEST(MmImageParser, BadRelocationsAreRefused) {
  const std::pair<uint32_t, uint32_t> cases[] = {
      {0x700, 0x2FF9},      // would write past the end: page + 0 is fine, the next makes it so
      {0x704, 7},           // block smaller than its header
      {0x704, 0x1000},      // block larger than the directory
      {0x708, 0x00003000},  // a 32-bit relocation
      {0x700, 0xFFFFFFFF},  // far outside
  };
  for (const auto& [offset, value] : cases) {
    Image image = Relocatable();
    image.Put<uint32_t>(offset, value);
    const ImageView view = image.Map();
    EXPECT_EQ(Relocate(view, image.info.directories[kRelocationDirectory], 0x1000),
              ImageError::kBadRelocations)
        << std::hex << offset << " " << value;
  }
}

struct Names {
  std::vector<std::string> seen;
  bool Library(const char* name) {
    seen.push_back(name);
    return true;
  }
  bool Import(const ImportThunk& thunk) {
    seen.push_back(thunk.name != nullptr ? thunk.name : "#" + std::to_string(thunk.ordinal));
    slots.push_back(thunk.slot_rva);
    return true;
  }
  std::vector<uint32_t> slots;
};

Image Importing() {
  Image image;
  image.Directory(kImportDirectory, 0x2000, 40);
  image.Put<uint32_t>(0x600, 0x2040);  // lookup table
  image.Put<uint32_t>(0x60C, 0x2080);  // name
  image.Put<uint32_t>(0x610, 0x2060);  // address table
  image.Put<uint64_t>(0x640, 0x20A0);  // by name
  image.Put<uint64_t>(0x648, 0x8000000000000007);
  std::memcpy(&image.bytes[0x680], "HAL.dll", 8);
  std::memcpy(&image.bytes[0x6A2], "KeStall", 8);
  return image;
}

TEST(MmImageParser, VisitsImports) {
  Image image = Importing();
  const ImageView view = image.Map();
  Names names;
  ASSERT_EQ(ForEachImport(view, image.info.directories[kImportDirectory], names), ImageError::kNone);
  EXPECT_EQ(names.seen, (std::vector<std::string>{"HAL.dll", "KeStall", "#7"}));
  EXPECT_EQ(names.slots, (std::vector<uint32_t>{0x2060, 0x2068}));
}

TEST(MmImageParser, ImportsThatLeadOutsideAreRefused) {
  const std::pair<uint32_t, uint32_t> cases[] = {{0x600, 0x2FFC}, {0x60C, 0x3000}, {0x60C, 0xFFFFFFFF},
                                                 {0x610, 0x2FFC}, {0x640, 0x2FFF}, {0x640, 0x7FFFFFFF}};
  for (const auto& [offset, value] : cases) {
    Image image = Importing();
    image.Put<uint32_t>(offset, value);
    const ImageView view = image.Map();
    Names names;
    EXPECT_EQ(ForEachImport(view, image.info.directories[kImportDirectory], names), ImageError::kInvalid)
        << std::hex << offset << " " << value;
  }
}

// Exports A (0x1010), B (forwarder to hal.X), C (0x1030); ordinals from 5.
Image Exporting() {
  Image image;
  image.Directory(kExportDirectory, 0x2000, 0x100);
  const uint32_t table[] = {5, 3, 3, 0x2030, 0x2040, 0x2050};
  std::memcpy(&image.bytes[0x610], table, sizeof(table));
  const uint32_t functions[] = {0x1010, 0x2070, 0x1030};
  std::memcpy(&image.bytes[0x630], functions, sizeof(functions));
  const uint32_t names[] = {0x2060, 0x2062, 0x2064};
  std::memcpy(&image.bytes[0x640], names, sizeof(names));
  const uint16_t ordinals[] = {0, 1, 2};
  std::memcpy(&image.bytes[0x650], ordinals, sizeof(ordinals));
  std::memcpy(&image.bytes[0x660], "A\0B\0C", 6);
  std::memcpy(&image.bytes[0x670], "hal.X", 6);
  return image;
}

TEST(MmImageParser, FindsExports) {
  Image image = Exporting();
  const ImageView view = image.Map();
  const DataDirectory directory = image.info.directories[kExportDirectory];
  EXPECT_EQ(FindExportByName(view, directory, "A").rva, 0x1010u);
  EXPECT_EQ(FindExportByName(view, directory, "C").rva, 0x1030u);
  EXPECT_STREQ(FindExportByName(view, directory, "B").forwarder, "hal.X");
  EXPECT_EQ(FindExportByName(view, directory, "AA").rva, 0u);
  EXPECT_EQ(FindExportByName(view, directory, "").rva, 0u);
  EXPECT_EQ(FindExportByOrdinal(view, directory, 7).rva, 0x1030u);
  EXPECT_EQ(FindExportByOrdinal(view, directory, 4).rva, 0u);
  EXPECT_EQ(FindExportByOrdinal(view, directory, 8).rva, 0u);
}

TEST(MmImageParser, HostileExportTablesFindNothing) {
  const std::pair<uint32_t, uint32_t> cases[] = {
      {0x618, 0xFFFFFFFF}, {0x620, 0xFFFFFFFF}, {0x640, 0xFFFFFFFF}, {0x624, 0x2FFF}, {0x650, 0xFFFFFFFF}};
  for (const auto& [offset, value] : cases) {
    Image image = Exporting();
    image.Put<uint32_t>(offset, value);
    const ImageView view = image.Map();
    FindExportByName(view, image.info.directories[kExportDirectory], "A");
    FindExportByName(view, image.info.directories[kExportDirectory], "zzz");
  }
  Image image = Exporting();
  image.Put<uint32_t>(0x630, 0xFFFFFFFF);  // function outside the image
  EXPECT_EQ(FindExportByName(image.Map(), image.info.directories[kExportDirectory], "A").rva, 0u);
}

TEST(MmImageParser, UnreadablePagesAreNotTouched) {
  Image image = Exporting();
  ImageView view = image.Map();
  view.probe = [](const void*, uint64_t) { return false; };
  EXPECT_EQ(FindExportByName(view, image.info.directories[kExportDirectory], "A").rva, 0u);
}

TEST(MmImageParser, ReadsTheLoadConfig) {
  Image image;
  image.Directory(kLoadConfigDirectory, 0x2000, 0x140);
  image.Put<uint32_t>(0x600, 0x140);
  image.Put<uint64_t>(0x658, kBase + 0x2FF8);
  image.Put<uint64_t>(0x670, kBase + 0x2200);
  image.Put<uint64_t>(0x678, kBase + 0x2208);
  const DataDirectory directory = {0x2000, 0x140};
  LoadConfig config = ReadLoadConfig(image.Map(), directory, kBase);
  EXPECT_EQ(config.security_cookie, 0x2FF8u);
  EXPECT_EQ(config.guard_check, 0u) << "not instrumented";
  image.Put<uint32_t>(0x690, 0x500);
  config = ReadLoadConfig(image.Map(), directory, kBase);
  EXPECT_EQ(config.guard_check, 0x2200u);
  EXPECT_EQ(config.guard_dispatch, 0x2208u);
  image.Put<uint64_t>(0x658, kBase + 0x2FFC);
  EXPECT_EQ(ReadLoadConfig(image.Map(), directory, kBase).security_cookie, 0u) << "does not fit";
  image.Put<uint32_t>(0x600, 0x58);
  EXPECT_EQ(ReadLoadConfig(image.Map(), directory, kBase).security_cookie, 0u) << "an old, short directory";
}

}  // namespace
}  // namespace mm
