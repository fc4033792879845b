// The loader: RAM layout, page tables walked as a processor walks them, what a kernel finds at its entry.
#include "boot/loader.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include <gtest/gtest.h>

#include "base/mapped_file.h"
#include "boot/kernel_image.h"
#include "boot/page_allocator.h"
#include "boot/page_tables.h"
#include "formats/pe/image.h"

namespace boot {
namespace {

constexpr uint64_t kMega = 1 << 20;

struct Walk {
  uint64_t physical;
  bool writable;
  bool executable;
  bool large;
};

std::optional<Walk> Translate(const GuestRam& ram, uint64_t root, uint64_t address) {
  uint64_t table = root;
  Walk walk{0, true, true, false};
  for (int level = 4; level >= 1; level--) {
    const uint64_t index = (address >> (12 + 9 * (level - 1))) & 0x1FF;
    const uint64_t entry = *ram.Object<uint64_t>(table + index * 8);
    if ((entry & kPtePresent) == 0) return std::nullopt;
    walk.writable = walk.writable && (entry & kPteWrite) != 0;
    walk.executable = walk.executable && (entry & kPteNoExecute) == 0;
    table = entry & kPteAddressMask;
    if (level == 2 && (entry & kPteLarge) != 0) {
      walk.large = true;
      walk.physical = table + address % kLargePageSize;
      return walk;
    }
  }
  walk.physical = table + address % kPageSize;
  return walk;
}

TEST(GuestRam, RefusesImpossibleSizes) {
  EXPECT_FALSE(GuestRam::Create(4 * kMega));
  EXPECT_FALSE(GuestRam::Create(33 * kMega));
  EXPECT_FALSE(GuestRam::Create(1ull << 50));
  EXPECT_NE(GuestRam::Create(4 * kMega).error().message.find("too little"), std::string::npos);
}

TEST(GuestRam, MemoryBeyondThreeGigabytesContinuesAtFour) {
  auto ram = GuestRam::Create(4096 * kMega);
  ASSERT_TRUE(ram);
  EXPECT_EQ(ram->FileOffset(0xBFFFF000, 4096), 0xBFFFF000u);
  EXPECT_EQ(ram->FileOffset(0xC0000000, 1), std::nullopt);
  EXPECT_EQ(ram->FileOffset(0x100000000, 4096), 0xC0000000u);
  EXPECT_EQ(ram->FileOffset(0xBFFFF000, 8192), std::nullopt);
  EXPECT_EQ(ram->FileOffset(0x13FFFF000, 4096), 0xFFFFF000u);
  EXPECT_EQ(ram->FileOffset(0x140000000, 1), std::nullopt);
}

TEST(GuestRam, HostileRangesAreNotRam) {
  auto ram = GuestRam::Create(32 * kMega);
  ASSERT_TRUE(ram);
  EXPECT_FALSE(ram->At(32 * kMega, 1));
  EXPECT_FALSE(ram->At(0, UINT64_MAX));
  EXPECT_FALSE(ram->At(UINT64_MAX, 2));
  EXPECT_FALSE(ram->At(UINT64_MAX - 4095, 4096));
  EXPECT_EQ(ram->Object<uint64_t>(1), nullptr) << "not aligned";
  EXPECT_NE(ram->Object<uint64_t>(8), nullptr);
}

TEST(PageAllocator, DescriptorsCoverAllRamOnceInOrder) {
  for (const uint64_t size : {32 * kMega, 4096 * kMega}) {
    auto ram = GuestRam::Create(size);
    ASSERT_TRUE(ram);
    PageAllocator allocator(*ram);
    ASSERT_TRUE(allocator.Allocate(3, MemoryType::kSystemCode));
    ASSERT_TRUE(allocator.Allocate(1, MemoryType::kMemoryData));
    uint64_t next = 0;
    uint64_t ram_pages = 0;
    for (const MemoryDescriptor& memory : allocator.Descriptors()) {
      if (memory.base_page == kHighMemoryBase / kPageSize) next = memory.base_page;
      EXPECT_EQ(memory.base_page, next);
      next = memory.base_page + memory.page_count;
      ram_pages += memory.page_count;
      if (memory.type == MemoryType::kFree) EXPECT_GE(memory.base_page, 1u);
    }
    EXPECT_EQ(ram_pages, size / kPageSize);
  }
}

TEST(PageAllocator, FailsWhenMemoryIsFull) {
  auto ram = GuestRam::Create(32 * kMega);
  ASSERT_TRUE(ram);
  PageAllocator allocator(*ram);
  EXPECT_FALSE(allocator.Allocate(UINT64_MAX / 2, MemoryType::kMemoryData));
  ASSERT_TRUE(allocator.Allocate(30 * kMega / kPageSize, MemoryType::kMemoryData));
  EXPECT_FALSE(allocator.Allocate(1, MemoryType::kMemoryData));
}

TEST(PageTables, RefuseToMapTwice) {
  auto ram = GuestRam::Create(32 * kMega);
  ASSERT_TRUE(ram);
  PageAllocator allocator(*ram);
  auto tables = PageTables::Create(*ram, allocator);
  ASSERT_TRUE(tables);
  ASSERT_TRUE(tables->Map(kKernelBase, 0x400000, 2, Protection::kReadOnly));
  EXPECT_FALSE(tables->Map(kKernelBase + kPageSize, 0x800000, 1, Protection::kReadOnly));
  EXPECT_FALSE(tables->MapLarge(kKernelBase, 0x400000, Protection::kReadOnly));
  ASSERT_TRUE(tables->MapLarge(0, 0, Protection::kReadWrite));
  EXPECT_FALSE(tables->Map(0x1000, 0x1000, 1, Protection::kReadOnly)) << "a large page is in the way";
  EXPECT_FALSE(tables->MapLarge(kPageSize, 0, Protection::kReadWrite)) << "not aligned";
}

class LoadedKernel : public testing::Test {
 protected:
  void SetUp() override {
    auto file = base::MappedFile::Open(BUGCHECK_TINY_KERNEL);
    ASSERT_TRUE(file) << file.error().message;
    kernel_ = std::move(*file);
    auto ram = GuestRam::Create(64 * kMega);
    ASSERT_TRUE(ram);
    ram_ = std::move(*ram);
    LoaderOptions options;
    options.kernel = kernel_.bytes();
    options.files.push_back({"hostfs.sys", base::AsBytes("twelve bytes")});
    options.processors = 6;
    options.options = "play=serve";
    auto machine = LoadMachine(ram_, options);
    ASSERT_TRUE(machine) << machine.error().message;
    machine_ = *machine;
    block_ = ram_.Object<LoaderBlock>(machine_.loader_block_physical);
  }

  base::MappedFile kernel_;
  GuestRam ram_;
  LoadedMachine machine_;
  LoaderBlock* block_ = nullptr;
};

TEST_F(LoadedKernel, HandoffLeadsToEntryStackAndBlock) {
  const auto* handoff = ram_.Object<Handoff>(kHandoffPhysical);
  EXPECT_EQ(handoff->magic, kHandoffMagic);
  EXPECT_EQ(handoff->cr3, machine_.root);
  EXPECT_LT(handoff->cr3, 0x1030000u) << "dump readers look for the root here";
  const auto entry = Translate(ram_, handoff->cr3, handoff->entry);
  ASSERT_TRUE(entry);
  EXPECT_TRUE(entry->executable);
  EXPECT_FALSE(entry->writable);
  const auto stack = Translate(ram_, handoff->cr3, handoff->stack - 8);
  ASSERT_TRUE(stack);
  EXPECT_TRUE(stack->writable);
  EXPECT_FALSE(stack->executable);
  EXPECT_FALSE(Translate(ram_, handoff->cr3, handoff->stack)) << "nothing above the stack";
  EXPECT_FALSE(Translate(ram_, handoff->cr3, block_->boot_stack_limit - 1)) << "nothing below the stack";
  EXPECT_EQ(handoff->loader_block, kPhysicalMapBase + machine_.loader_block_physical);
  EXPECT_EQ(Translate(ram_, handoff->cr3, handoff->loader_block)->physical, machine_.loader_block_physical);
}

TEST_F(LoadedKernel, SectionsHaveTheirProtections) {
  auto image = KernelImage::Parse(kernel_.bytes());
  ASSERT_TRUE(image);
  for (const ImageSection& section : image->sections()) {
    const auto page = Translate(ram_, machine_.root, kKernelBase + section.rva);
    ASSERT_TRUE(page) << section.name;
    EXPECT_EQ(page->physical, machine_.kernel_physical + section.rva);
    EXPECT_EQ(page->executable, section.protection == Protection::kReadExecute) << section.name;
    EXPECT_EQ(page->writable, section.protection == Protection::kReadWrite) << section.name;
    const auto bytes = ram_.At(page->physical, section.file_size);
    ASSERT_TRUE(bytes);
    EXPECT_EQ(std::memcmp(bytes->data(), kernel_.bytes().data() + section.file_offset, section.file_size), 0);
  }
  const auto headers = Translate(ram_, machine_.root, kKernelBase);
  ASSERT_TRUE(headers);
  EXPECT_FALSE(headers->writable || headers->executable);
}

TEST_F(LoadedKernel, SelfMapShowsTheTables) {
  // The PTE of an address, read through the self-map as a kernel would.
  const uint64_t address = kKernelBase;
  const uint64_t pte_address = kPteBase + ((address & 0xFFFFFFFFFFFF) >> 12) * 8;
  const auto pte = Translate(ram_, machine_.root, pte_address);
  ASSERT_TRUE(pte);
  EXPECT_EQ(*ram_.Object<uint64_t>(pte->physical) & kPteAddressMask, machine_.kernel_physical);
  int self_references = 0;
  for (uint64_t slot = 0; slot < 512; slot++) {
    const uint64_t entry = *ram_.Object<uint64_t>(machine_.root + slot * 8);
    if ((entry & kPtePresent) != 0 && (entry & kPteAddressMask) == machine_.root) self_references++;
    EXPECT_FALSE((entry & kPtePresent) != 0 && (entry & kPteLarge) != 0);
  }
  EXPECT_EQ(self_references, 1);
}

TEST_F(LoadedKernel, PhysicalMapCoversRamAndDevicesWithoutExecution) {
  for (const uint64_t physical : {0ull, 0x200000ull, 64ull * kMega - 1}) {
    const auto page = Translate(ram_, machine_.root, kPhysicalMapBase + physical);
    ASSERT_TRUE(page);
    EXPECT_EQ(page->physical, physical);
    EXPECT_TRUE(page->large && page->writable && !page->executable);
  }
  EXPECT_FALSE(Translate(ram_, machine_.root, kPhysicalMapBase + 64 * kMega));
  for (uint64_t device = kDeviceWindow; device < kDeviceWindow + kDeviceWindowSize;
       device += kLargePageSize) {
    ASSERT_TRUE(Translate(ram_, machine_.root, kPhysicalMapBase + device));
  }
  EXPECT_FALSE(Translate(ram_, machine_.root, kPhysicalMapBase + kDeviceWindow + kDeviceWindowSize));
  const auto shared = Translate(ram_, machine_.root, kSharedUserData);
  ASSERT_TRUE(shared);
  EXPECT_EQ(shared->physical, block_->shared_user_data_physical);
}

TEST_F(LoadedKernel, BlockTellsWhatWasAsked) {
  EXPECT_EQ(block_->version, kLoaderBlockVersion);
  EXPECT_EQ(block_->size, sizeof(LoaderBlock));
  EXPECT_EQ(block_->processors, 6u);
  EXPECT_STREQ(block_->options, "play=serve");
  ASSERT_EQ(block_->boot_file_count, 1u);
  EXPECT_STREQ(block_->boot_files[0].name, "hostfs.sys");
  EXPECT_EQ(block_->boot_files[0].physical % kPageSize, 0u);
  const auto bytes = ram_.At(block_->boot_files[0].physical, block_->boot_files[0].size);
  ASSERT_TRUE(bytes);
  EXPECT_EQ(std::memcmp(bytes->data(), "twelve bytes", 12), 0);
  const auto* control = ram_.Object<ControlArea>(block_->control_physical);
  EXPECT_EQ(control->magic, kControlMagic);
  EXPECT_EQ(control->console.size, kConsoleRingSize);
  EXPECT_EQ(control->trace.size, kTraceRingSize);
  EXPECT_NE(block_->random_seed[0], block_->random_seed[1]);
}

class KernelImageTest : public testing::Test {
 protected:
  void SetUp() override {
    auto text = base::ReadWholeFile(BUGCHECK_TINY_KERNEL);
    ASSERT_TRUE(text);
    file_ = *text;
  }
  base::Result<KernelImage> Parse() { return KernelImage::Parse(base::AsBytes(file_)); }
  std::string file_;
};

TEST_F(KernelImageTest, EveryTruncationIsRefused) {
  const std::string whole = file_;
  size_t needed = 0;  // what follows is the linker's padding
  for (const ImageSection& section : Parse()->sections()) {
    needed = std::max<size_t>(needed, section.file_offset + section.file_size);
  }
  ASSERT_GT(needed, 0x400u);
  for (size_t size = 0; size < needed; size += size < 0x400 ? 1 : 97) {
    file_ = whole.substr(0, size);
    EXPECT_FALSE(Parse()) << size;
  }
}

TEST_F(KernelImageTest, RelocatesAsTheOtherReaderDoes) {
  auto image = Parse();
  ASSERT_TRUE(image);
  const uint64_t base = kKernelBase + 0x200000;
  std::vector<std::byte> moved(image->size());
  ASSERT_TRUE(image->Load(moved, base));
  auto other = pe::Image::Parse(base::AsBytes(file_), pe::Layout::kFile);
  ASSERT_TRUE(other);
  auto relocations = other->Relocations();
  ASSERT_TRUE(relocations);
  ASSERT_FALSE(relocations->empty());
  auto expected = pe::MapImage(*other);
  ASSERT_TRUE(expected);
  ASSERT_TRUE(pe::Relocate(*expected, other->headers(), base));
  ASSERT_GE(moved.size(), expected->size());
  // The headers differ in ImageBase alone; from the first section on all must be the same.
  const size_t first = image->sections()[0].rva;
  EXPECT_EQ(std::memcmp(&moved[first], &(*expected)[first], expected->size() - first), 0);
}

TEST_F(KernelImageTest, RefusesOtherMachinesAndWritableCode) {
  uint32_t nt = 0;
  std::memcpy(&nt, &file_[0x3C], 4);
  std::string whole = file_;
  file_[nt + 4] = 0x4C;
  file_[nt + 5] = 0x01;
  EXPECT_FALSE(Parse());
  file_ = whole;
  uint16_t optional_size = 0;
  std::memcpy(&optional_size, &file_[nt + 20], 2);
  file_[nt + 24 + optional_size + 39] |= static_cast<char>(0x80);  // .text: writable
  auto image = Parse();
  ASSERT_FALSE(image);
  EXPECT_NE(image.error().message.find("writable and executable"), std::string::npos);
}

TEST(Loader, TooLittleMemoryForTheFilesIsSaid) {
  auto file = base::MappedFile::Open(BUGCHECK_TINY_KERNEL);
  ASSERT_TRUE(file);
  auto ram = GuestRam::Create(32 * kMega);
  ASSERT_TRUE(ram);
  const std::string big(40 * kMega, 'x');
  LoaderOptions options;
  options.kernel = file->bytes();
  options.files.push_back({"big.sys", base::AsBytes(big)});
  auto machine = LoadMachine(*ram, options);
  ASSERT_FALSE(machine);
  EXPECT_NE(machine.error().message.find("big.sys"), std::string::npos);
  EXPECT_NE(machine.error().message.find("too little memory"), std::string::npos);
}

}  // namespace
}  // namespace boot
