#include "debug/synthetic_dump.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "formats/pdb/pdb_file.h"

namespace debug::testing {

namespace {

constexpr uint64_t kImagePfn = 0x20;
constexpr uint64_t kPdpt = 0x2000, kPageDirectory = 0x3000, kPageTable = 0x4000;
constexpr uint64_t kTransitionPfn = 0x10;
constexpr uint64_t kPresentWritable = 3;

template <typename T>
T Check(base::Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "synthetic machine: %s\n", result.error().message.c_str());
    std::abort();
  }
  return std::move(*result);
}

}  // namespace

std::string SyntheticMachine::ImagePath() {
  return BUGCHECK_SAMPLE_IMAGE;
}
std::string SyntheticMachine::ImageFolder() {
  return std::filesystem::path(ImagePath()).parent_path().string();
}

SyntheticMachine::SyntheticMachine() : ram_(kPages * kdump::kPageSize), header_(kdump::NewHeader()) {
  char folder[] = "/tmp/bugcheck-test-XXXXXX";
  if (::mkdtemp(folder) == nullptr) std::abort();
  folder_ = folder;
  symbols_ = Check(pdb::Open(ImageFolder() + "/debug_sample.pdb"));
  const base::MappedFile file = Check(base::MappedFile::Open(ImagePath()));
  const pe::Image image = Check(pe::Image::Parse(file.bytes(), pe::Layout::kFile));
  std::vector<std::byte> mapped = Check(pe::MapImage(image));
  if (!pe::Relocate(mapped, image.headers(), kKernelBase)) std::abort();
  image_size_ = mapped.size();
  std::memcpy(ram_.data() + kImagePfn * kdump::kPageSize, mapped.data(), mapped.size());
  MapPages();
  FillLists();
}

SyntheticMachine::~SyntheticMachine() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void SyntheticMachine::MapPages() {
  const auto entry = [&](uint64_t table, uint64_t index, uint64_t value) {
    std::memcpy(ram_.data() + table + index * 8, &value, 8);
  };
  entry(kDirectory, 0x1ed, kDirectory | kPresentWritable);
  entry(kDirectory, kKernelBase >> 39 & 0x1ff, kPdpt | kPresentWritable);
  entry(kPdpt, kKernelBase >> 30 & 0x1ff, kPageDirectory | kPresentWritable);
  entry(kPageDirectory, kKernelBase >> 21 & 0x1ff, kPageTable | kPresentWritable);
  entry(kPageDirectory, kLargePageVa >> 21 & 0x1ff, 0x200000 | 0x80 | kPresentWritable);
  for (uint64_t i = 0; i < image_size_ / kdump::kPageSize; ++i) {
    entry(kPageTable, (kKernelBase >> 12 & 0x1ff) + i, (kImagePfn + i) << 12 | kPresentWritable);
  }
  entry(kPageTable, kTransitionVa >> 12 & 0x1ff, kTransitionPfn << 12 | 1u << 11);
  std::memset(ram_.data() + kTransitionPfn * kdump::kPageSize, 0x5a, 16);
}

uint64_t SyntheticMachine::Symbol(std::string_view name) const {
  const auto symbol = symbols_->FindSymbol(name);
  if (!symbol) {
    std::fprintf(stderr, "the sample has no symbol %.*s\n", static_cast<int>(name.size()), name.data());
    std::abort();
  }
  return kKernelBase + symbol->rva;
}

uint64_t SyntheticMachine::Offset(std::string_view type, std::string_view field) const {
  return Check(Type(symbols_.get(), symbols_->FindType(type)).OffsetOf(field));
}

void SyntheticMachine::Write(uint64_t va, const void* data, size_t size) {
  const uint64_t physical =
      va >= kLargePageVa ? 0x200000 + (va - kLargePageVa) : kImagePfn * kdump::kPageSize + (va - kKernelBase);
  std::memcpy(ram_.data() + physical, data, size);
}

void SyntheticMachine::WriteField(uint64_t object, std::string_view type, std::string_view field,
                                  uint64_t value) {
  const Type t(symbols_.get(), symbols_->FindType(type));
  const Field f = Check(t.FindField(field));
  Write(object + f.offset, &value, Type(symbols_.get(), f.type_id).size());
}

void SyntheticMachine::Link(uint64_t head, const std::vector<uint64_t>& entries) {
  std::vector<uint64_t> ring{head};
  ring.insert(ring.end(), entries.begin(), entries.end());
  for (size_t i = 0; i < ring.size(); ++i) {
    const uint64_t next = ring[(i + 1) % ring.size()];
    Write64(ring[i], next);
    Write64(next + 8, ring[i]);
  }
}

void SyntheticMachine::WriteName(int slot, std::string_view name, uint64_t unicode_string) {
  const uint64_t buffer = Symbol("SampleNames") + static_cast<uint64_t>(slot) * 64;
  for (size_t i = 0; i < name.size(); ++i) {
    const uint16_t unit = static_cast<uint8_t>(name[i]);
    Write(buffer + 2 * i, &unit, 2);
  }
  WriteField(unicode_string, "_UNICODE_STRING", "Length", name.size() * 2);
  WriteField(unicode_string, "_UNICODE_STRING", "Buffer", buffer);
}

void SyntheticMachine::FillLists() {
  const auto size_of = [&](std::string_view type) {
    return symbols_->GetType(symbols_->FindType(type)).size;
  };
  const uint64_t modules = Symbol("SampleModules"), processes = Symbol("SampleProcesses"),
                 threads = Symbol("SampleThreads");
  const auto module = [&](uint64_t i) { return modules + i * size_of("_KLDR_DATA_TABLE_ENTRY"); };
  const auto process = [&](uint64_t i) { return processes + i * size_of("_EPROCESS"); };
  const auto thread = [&](uint64_t i) { return threads + i * size_of("_ETHREAD"); };
  const auto prcb = [&](uint64_t i) { return Symbol("SamplePrcbs") + i * size_of("_KPRCB"); };

  Link(Symbol("PsLoadedModuleList"), {module(0), module(1)});
  const char* const names[] = {"ntoskrnl.exe", "TestDriver.sys"};
  const uint64_t bases[] = {kKernelBase, 0xfffff80277000000};
  for (uint64_t i = 0; i < 2; ++i) {
    WriteField(module(i), "_KLDR_DATA_TABLE_ENTRY", "DllBase", bases[i]);
    WriteField(module(i), "_KLDR_DATA_TABLE_ENTRY", "SizeOfImage", i == 0 ? image_size_ : 0x6000);
    WriteName(static_cast<int>(i), names[i], module(i) + Offset("_KLDR_DATA_TABLE_ENTRY", "BaseDllName"));
  }
  // Idle (not in the list), System with two threads, one empty process.
  Write64(Symbol("PsIdleProcess"), process(0));
  const uint64_t links = Offset("_EPROCESS", "ActiveProcessLinks"),
                 head = Offset("_EPROCESS", "ThreadListHead");
  Link(Symbol("PsActiveProcessHead"), {process(1) + links, process(2) + links});
  const uint64_t entry = Offset("_ETHREAD", "ThreadListEntry");
  for (uint64_t i = 0; i < 3; ++i) Link(process(i) + head, {});
  Link(process(1) + head, {thread(2) + entry, thread(3) + entry});
  Write(process(1) + Offset("_EPROCESS", "ImageFileName"), "System", 7);
  WriteField(process(1), "_EPROCESS", "UniqueProcessId", 4);
  WriteField(process(1), "_EPROCESS", "Pcb.DirectoryTableBase", kDirectory);
  for (uint64_t i = 0; i < 2; ++i) {
    Write64(Symbol("KiProcessorBlock") + 8 * i, prcb(i));
    WriteField(prcb(i), "_KPRCB", "IdleThread", thread(i));
    WriteField(prcb(i), "_KPRCB", "CurrentThread", i == 0 ? thread(0) : thread(2));
  }
  WriteField(thread(2), "_ETHREAD", "Tcb.State", 2);
  WriteField(thread(3), "_ETHREAD", "Tcb.State", 5);

  const uint64_t kdbg = Symbol("KdDebuggerDataBlock");
  const auto kd32 = [&](uint32_t offset, uint32_t value) { Write(kdbg + offset, &value, 4); };
  kd32(kdump::KdDebuggerData::kOwnerTag, kdump::KdDebuggerData::kTag);
  kd32(kdump::KdDebuggerData::kSizeField, kdump::KdDebuggerData::kSize);
  Write64(kdbg + kdump::KdDebuggerData::kKernBase, kKernelBase);
  Write64(kdbg + kdump::KdDebuggerData::kKiProcessorBlock, Symbol("KiProcessorBlock"));

  header_.DirectoryTableBase = kDirectory | 0x2;  // as with a PCID
  header_.PsLoadedModuleList = Symbol("PsLoadedModuleList");
  header_.PsActiveProcessHead = Symbol("PsActiveProcessHead");
  header_.KdDebuggerDataBlock = kdbg;
  header_.NumberProcessors = 2;
  header_.BugCheckCode = 0xd1;
}

std::vector<std::byte> SyntheticMachine::Bytes(kdump::DumpType type) const {
  std::vector<std::byte> out;
  if (type == kdump::DumpType::kFull) {
    const kdump::PhysicalRun run{0, kPages};
    out = Check(kdump::LayOutFull(header_, std::span(&run, 1)));
    out.insert(out.end(), ram_.begin(), ram_.end());
    return out;
  }
  std::vector<uint64_t> bitmap(kPages / 64);
  std::vector<std::byte> pages;
  for (uint64_t pfn = 0; pfn < kPages; ++pfn) {
    const auto page = std::span(ram_).subspan(pfn * kdump::kPageSize, kdump::kPageSize);
    if (std::ranges::all_of(page, [](std::byte b) { return b == std::byte{0}; })) continue;
    bitmap[pfn / 64] |= 1ull << pfn % 64;
    pages.insert(pages.end(), page.begin(), page.end());
  }
  out = Check(kdump::LayOutBitmap(header_, type, bitmap, kPages));
  out.insert(out.end(), pages.begin(), pages.end());
  return out;
}

std::string SyntheticMachine::Save(kdump::DumpType type) const {
  const std::string path = folder_ + "/type" + std::to_string(static_cast<unsigned>(type)) + ".dmp";
  const std::vector<std::byte> bytes = Bytes(type);
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<long>(bytes.size()));
  return path;
}

}  // namespace debug::testing
