#include "formats/pe/image.h"

#include <algorithm>
#include <cstring>

#include <gtest/gtest.h>

#include "base/mapped_file.h"

namespace pe {
namespace {

class ImageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto text = base::ReadWholeFile(BUGCHECK_SAMPLE_FOLDER "/debug_sample.exe");
    ASSERT_TRUE(text) << text.error().message;
    const auto bytes = base::AsBytes(*text);
    file_.assign(bytes.begin(), bytes.end());
  }
  Image Parse() { return *Image::Parse(file_, Layout::kFile); }
  template <typename T>
  void Poke(uint64_t offset, T value) {
    std::memcpy(file_.data() + offset, &value, sizeof value);
  }
  uint32_t PeOffset() const { return *base::SpanReader(file_).Get<uint32_t>(0x3c); }

  std::vector<std::byte> file_;
};

TEST_F(ImageTest, HeadersAndSections) {
  const Image image = Parse();
  EXPECT_EQ(image.headers().machine, kMachineAmd64);
  EXPECT_EQ(image.headers().image_base, 0xfffff80200000000u);
  EXPECT_EQ(image.headers().subsystem, kSubsystemNative);
  const Section* text = image.headers().SectionNamed(".text");
  ASSERT_NE(text, nullptr);
  EXPECT_TRUE(text->characteristics & kSectionExecute);
  EXPECT_EQ(image.headers().SectionAt(image.headers().entry_rva), text);
  EXPECT_EQ(image.ComputeChecksum(), image.headers().checksum);
}

TEST_F(ImageTest, ExportsByNameOrdinalAndForwarder) {
  const auto exports = Parse().Exports();
  ASSERT_TRUE(exports) << exports.error().message;
  const auto find = [&](std::string_view name) { return std::ranges::find(*exports, name, &Export::name); };
  ASSERT_NE(find("Leaf"), exports->end());
  EXPECT_EQ(find("Leaf")->ordinal, 7u);
  EXPECT_EQ(find("KeStall")->forwarder, "hal.KeStallExecutionProcessor");
  EXPECT_EQ(find("KeStall")->rva, 0u);
  EXPECT_EQ(std::ranges::count(*exports, 9u, &Export::ordinal), 1);
  EXPECT_EQ(std::ranges::find(*exports, 9u, &Export::ordinal)->name, "") << "exported without a name";
  EXPECT_EQ(*Parse().ExportName(), "debug_sample.exe");
}

TEST_F(ImageTest, UnwindTableAndDebugRecord) {
  const auto functions = Parse().RuntimeFunctions();
  ASSERT_TRUE(functions);
  EXPECT_GT(functions->size(), 8u);
  EXPECT_TRUE(std::ranges::is_sorted(*functions, {}, &RuntimeFunction::begin));
  const auto view = Parse().DebugRecord();
  ASSERT_TRUE(view) << view.error().message;
  EXPECT_EQ(view->PdbName(), "debug_sample.pdb");
  EXPECT_EQ(view->id.age, 1u);
}

TEST_F(ImageTest, RelocationMovesEveryPointer) {
  const Image image = Parse();
  const auto relocations = image.Relocations();
  ASSERT_TRUE(relocations);
  ASSERT_FALSE(relocations->empty());
  auto mapped = MapImage(image);
  ASSERT_TRUE(mapped);
  auto moved = *mapped;
  ASSERT_TRUE(Relocate(moved, image.headers(), image.headers().image_base + 0x123000));
  for (const Relocation& r : *relocations) {
    EXPECT_EQ(*base::SpanReader(moved).Get<uint64_t>(r.rva),
              *base::SpanReader(*mapped).Get<uint64_t>(r.rva) + 0x123000);
  }
  EXPECT_EQ(Image::Parse(*mapped, Layout::kMapped)->Exports()->size(), image.Exports()->size());
}

TEST_F(ImageTest, BrokenFilesGiveErrors) {
  EXPECT_EQ(ParseHeaders({}).error().message, "not a PE image: it does not begin with MZ");
  auto whole = file_;
  for (const size_t size : {2ul, 0x40ul, 0x100ul, 0x180ul, 0x300ul, whole.size() - 1}) {
    file_.assign(whole.begin(), whole.begin() + static_cast<long>(size));
    EXPECT_FALSE(Image::Parse(file_, Layout::kFile)) << size;
  }
  file_ = whole;
  Poke<uint32_t>(PeOffset() + 24 + 112, 0x7ffffff0);  // export directory
  EXPECT_FALSE(Parse().Exports());
  file_ = whole;
  Poke<uint32_t>(PeOffset() + 24 + 112 + 5 * 8, 0x7ffffff0);  // base relocations
  EXPECT_FALSE(Parse().Relocations());
  file_ = whole;
  Poke<uint32_t>(PeOffset() + 24 + 56, 0x1000);  // SizeOfImage below the sections
  EXPECT_FALSE(MapImage(Parse()));
}

TEST_F(ImageTest, WrongRelocationTypeIsRefused) {
  const Image image = Parse();
  auto mapped = *MapImage(image);
  const DataDirectory& directory = image.headers().directory(Directory::kBaseRelocation);
  mapped[directory.rva + 9] = std::byte{0x30};  // type 3: HIGHLOW
  const auto result = Relocate(mapped, image.headers(), 0x10000);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "relocation type 3 is not supported on x64");
}

}  // namespace
}  // namespace pe
