#include "boot/loader.h"

#include <algorithm>
#include <cstring>
#include <ctime>

#include <sys/random.h>

#include <fmt/format.h>

#include "boot/kernel_image.h"
#include "boot/page_allocator.h"
#include "boot/page_tables.h"

namespace boot {
namespace {

constexpr uint64_t kBootStackSize = 32 * 1024;
constexpr uint64_t kBootStackTop = kKernelBase - 0x10000;  // unmapped pages on both sides
constexpr uint64_t kUnixEpochAsFileTime = 116444736000000000;

// QEMU's microvm; with ACPI the lines of its PCI host bridge and of the virtio-mmio slots move apart.
constexpr uint32_t kVirtioFirstLine = 5;
constexpr uint32_t kVirtioFirstLineWithPci = 16;
constexpr PciHost kPciHost = {.configuration = 0xE0000000,
                              .window = 0xC0000000,
                              .window_size = 0x20000000,
                              .first_line = 12,
                              .reserved = 0};

uint64_t PagesOf(uint64_t bytes) {
  return (bytes + kPageSize - 1) / kPageSize;
}

// Carries the state of one load from step to step.
class Loader {
 public:
  Loader(GuestRam& ram, const LoaderOptions& options, PageAllocator& allocator, PageTables& tables)
      : ram_(ram), options_(options), allocator_(allocator), tables_(tables) {}

  base::Result<LoadedMachine> Load() {
    machine_.root = tables_.root();
    TRY(AllocateBlock());
    TRY_WRAP("cannot load the kernel", LoadKernel());
    TRY(MapMemory());
    TRY(PlaceControlArea());
    TRY(LoadBootFiles());
    TRY(FillBlock());
    TRY(WriteHandoff());
    return machine_;
  }

 private:
  base::Result<void> AllocateBlock();
  base::Result<void> LoadKernel();
  base::Result<void> MapMemory();
  base::Result<void> PlaceControlArea();
  base::Result<void> PlaceRing(Ring& ring, uint32_t size);
  base::Result<void> LoadBootFiles();
  base::Result<void> FillBlock();
  base::Result<void> WriteHandoff();

  GuestRam& ram_;
  const LoaderOptions& options_;
  PageAllocator& allocator_;
  PageTables& tables_;
  LoaderBlock* block_ = nullptr;
  LoadedMachine machine_;
};

base::Result<void> Loader::AllocateBlock() {
  machine_.loader_block_physical =
      TRY(allocator_.Allocate(PagesOf(sizeof(LoaderBlock)), MemoryType::kMemoryData));
  block_ = ram_.Object<LoaderBlock>(machine_.loader_block_physical);
  block_->version = kLoaderBlockVersion;
  block_->size = sizeof(LoaderBlock);
  return {};
}

base::Result<void> Loader::LoadKernel() {
  const KernelImage image = TRY(KernelImage::Parse(options_.kernel));
  const uint64_t pages = image.size() / kPageSize;
  const uint64_t physical = TRY(allocator_.Allocate(pages, MemoryType::kSystemCode));
  TRY(image.Load(*ram_.At(physical, image.size()), kKernelBase));
  TRY(tables_.Map(kKernelBase, physical, PagesOf(image.headers_size()), Protection::kReadOnly));
  for (const ImageSection& section : image.sections()) {
    TRY(tables_.Map(kKernelBase + section.rva, physical + section.rva, PagesOf(section.virtual_size),
                    section.protection));
  }
  block_->kernel_base = machine_.kernel_base = kKernelBase;
  block_->kernel_size = image.size();
  block_->kernel_entry = machine_.entry = kKernelBase + image.entry_rva();
  block_->kernel_physical = machine_.kernel_physical = physical;

  const uint64_t stack = TRY(allocator_.Allocate(PagesOf(kBootStackSize), MemoryType::kStartupKernelStack));
  block_->boot_stack_base = kBootStackTop;
  block_->boot_stack_limit = kBootStackTop - kBootStackSize;
  TRY(tables_.Map(block_->boot_stack_limit, stack, PagesOf(kBootStackSize), Protection::kReadWrite));

  block_->shared_user_data_physical = TRY(allocator_.Allocate(1, MemoryType::kMemoryData));
  return tables_.Map(kSharedUserData, block_->shared_user_data_physical, 1, Protection::kReadWrite);
}

base::Result<void> Loader::MapMemory() {
  TRY(tables_.MapLarge(0, 0, Protection::kReadWriteExecute));  // the stub runs here while paging goes on
  for (const RamRange& range : ram_.ranges()) {
    for (uint64_t offset = 0; offset < range.size; offset += kLargePageSize) {
      const uint64_t physical = range.physical + offset;
      TRY(tables_.MapLarge(kPhysicalMapBase + physical, physical, Protection::kReadWrite));
    }
  }
  for (uint64_t offset = 0; offset < kDeviceWindowSize; offset += kLargePageSize) {
    const uint64_t physical = kDeviceWindow + offset;
    TRY(tables_.MapLarge(kPhysicalMapBase + physical, physical, Protection::kDevice));
  }
  return {};
}

base::Result<void> Loader::PlaceRing(Ring& ring, uint32_t size) {
  ring.physical = TRY(allocator_.Allocate(PagesOf(size), MemoryType::kMemoryData));
  ring.size = size;
  return {};
}

base::Result<void> Loader::PlaceControlArea() {
  machine_.control_physical = TRY(allocator_.Allocate(PagesOf(sizeof(ControlArea)), MemoryType::kMemoryData));
  auto* control = ram_.Object<ControlArea>(machine_.control_physical);
  control->magic = kControlMagic;
  control->version = kControlVersion;
  control->size = sizeof(ControlArea);
  control->state = MachineState::kPrepared;
  TRY(PlaceRing(control->console, kConsoleRingSize));
  TRY(PlaceRing(control->requests, kRequestRingSize));
  TRY(PlaceRing(control->replies, kReplyRingSize));
  TRY(PlaceRing(control->trace, kTraceRingSize));
  block_->control_physical = machine_.control_physical;
  return {};
}

base::Result<void> Loader::LoadBootFiles() {
  if (options_.files.size() > kMaxBootFiles) return base::Fail("too many boot files");
  for (const BootFileBytes& file : options_.files) {
    BootFile& entry = block_->boot_files[block_->boot_file_count];
    if (file.name.size() >= sizeof(entry.name) || file.bytes.empty()) {
      return base::Fail(fmt::format("boot file {}: empty, or its name is too long", file.name));
    }
    std::memcpy(entry.name, file.name.data(), file.name.size());
    entry.size = file.bytes.size();
    entry.physical = TRY_WRAP("boot file " + file.name,
                              allocator_.Allocate(PagesOf(entry.size), MemoryType::kLoadedProgram));
    std::memcpy(ram_.At(entry.physical, entry.size)->data(), file.bytes.data(), file.bytes.size());
    block_->boot_file_count++;
  }
  return {};
}

base::Result<void> Loader::FillBlock() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  block_->system_time =
      kUnixEpochAsFileTime + static_cast<uint64_t>(now.tv_sec) * 10000000 + now.tv_nsec / 100;
  tm local{};
  localtime_r(&now.tv_sec, &local);
  block_->time_zone_bias_minutes = static_cast<int32_t>(-local.tm_gmtoff / 60);
  if (getrandom(block_->random_seed, sizeof(block_->random_seed), 0) != sizeof(block_->random_seed)) {
    return base::FailErrno("cannot get random bytes", errno);
  }
  block_->processors = options_.processors;
  block_->accelerator = options_.accelerator;
  block_->build_number = options_.build_number;
  block_->verifier_flags = options_.verifier_flags;
  if (options_.options.size() >= sizeof(block_->options)) return base::Fail("the boot options are too long");
  std::memcpy(block_->options, options_.options.data(), options_.options.size());
  const size_t name_length = std::min(options_.machine_name.size(), sizeof(block_->machine_name) - 1);
  std::memcpy(block_->machine_name, options_.machine_name.data(), name_length);
  block_->virtio_first_line = options_.pci ? kVirtioFirstLineWithPci : kVirtioFirstLine;
  if (options_.pci) block_->pci = kPciHost;
  // Last, when every page is handed out.
  const std::vector<MemoryDescriptor> memory = allocator_.Descriptors();
  if (memory.size() > kMaxMemoryDescriptors) return base::Fail("too many memory descriptors");
  std::copy(memory.begin(), memory.end(), block_->memory);
  block_->memory_descriptor_count = static_cast<uint32_t>(memory.size());
  return {};
}

base::Result<void> Loader::WriteHandoff() {
  auto* handoff = ram_.Object<Handoff>(kHandoffPhysical);
  *handoff = {.magic = kHandoffMagic,
              .cr3 = machine_.root,
              .entry = machine_.entry,
              .stack = kBootStackTop,
              .loader_block = kPhysicalMapBase + machine_.loader_block_physical,
              .control = machine_.control_physical};
  return {};
}

}  // namespace

base::Result<LoadedMachine> LoadMachine(GuestRam& ram, const LoaderOptions& options) {
  PageAllocator allocator(ram);
  PageTables tables = TRY(PageTables::Create(ram, allocator));
  return Loader(ram, options, allocator, tables).Load();
}

}  // namespace boot
