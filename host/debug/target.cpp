#include "debug/target.h"

#include <algorithm>
#include <cstring>

#include "base/mapped_file.h"
#include "formats/pe/image.h"

namespace debug {

namespace {

constexpr uint64_t kHoleBegin = 0xc0000000;  // device window of the machine: RAM below ...
constexpr uint64_t kHoleEnd = 0x100000000;   // ... goes on here

class DumpMemory final : public PhysicalMemory {
 public:
  explicit DumpMemory(const kdump::Dump& dump) : dump_(&dump) {}
  std::optional<base::Bytes> Page(uint64_t pfn) const override { return dump_->Page(pfn); }
  std::vector<kdump::PhysicalRun> Runs() const override { return dump_->PresentRuns(); }

 private:
  const kdump::Dump* dump_;
};

class DumpTarget final : public Target {
 public:
  DumpTarget(base::MappedFile file, kdump::Dump dump, std::string path)
      : file_(std::move(file)), dump_(std::move(dump)), memory_(dump_), path_(std::move(path)) {}
  const PhysicalMemory& memory() const override { return memory_; }
  const kdump::Header64& header() const override { return dump_.header(); }
  bool is_live() const override { return false; }
  bool is_triage() const override { return dump_.type() == kdump::DumpType::kTriage; }
  std::vector<kdump::VirtualBlock> virtual_blocks() const override { return dump_.virtual_blocks(); }
  std::vector<kdump::TriageDriver> triage_drivers() const override { return dump_.triage_drivers(); }
  std::vector<kdump::TaggedBlock> tagged_data() const override {
    return kdump::ParseTaggedData(dump_.BehindPages());
  }
  std::string description() const override { return std::string(dump_.type_name()) + " File: " + path_; }
  std::string warning() const override {
    return dump_.warning().empty() ? "" : path_ + ": " + dump_.warning();
  }

 private:
  base::MappedFile file_;
  kdump::Dump dump_;
  DumpMemory memory_;
  std::string path_;
};

class LiveMemory final : public PhysicalMemory {
 public:
  explicit LiveMemory(base::Bytes ram) : ram_(ram) {}
  std::optional<base::Bytes> Page(uint64_t pfn) const override {
    if (pfn > UINT64_MAX / kPageSize) return std::nullopt;
    return base::SpanReader(ram_).Slice(RamFileOffset(pfn * kPageSize, ram_.size()), kPageSize);
  }
  std::vector<kdump::PhysicalRun> Runs() const override {
    const uint64_t low = std::min<uint64_t>(ram_.size(), kHoleBegin);
    std::vector<kdump::PhysicalRun> runs{{0, low / kPageSize}};
    if (ram_.size() > low) runs.push_back({kHoleEnd / kPageSize, (ram_.size() - low) / kPageSize});
    return runs;
  }

 private:
  base::Bytes ram_;
};

class LiveTarget final : public Target {
 public:
  LiveTarget(base::MappedFile ram, const kdump::Header64& header)
      : ram_(std::move(ram)), memory_(ram_.bytes()), header_(header) {}
  const PhysicalMemory& memory() const override { return memory_; }
  const kdump::Header64& header() const override { return header_; }
  bool is_live() const override { return true; }
  std::string description() const override { return "live machine"; }

 private:
  base::MappedFile ram_;
  LiveMemory memory_;
  kdump::Header64 header_;
};

}  // namespace

uint64_t RamFileOffset(uint64_t physical, uint64_t ram_size) {
  if (physical >= kHoleBegin && physical < kHoleEnd) return UINT64_MAX;
  const uint64_t offset = physical < kHoleBegin ? physical : physical - (kHoleEnd - kHoleBegin);
  return offset < ram_size ? offset : UINT64_MAX;
}

base::Result<std::unique_ptr<Target>> OpenDump(const std::string& path) {
  base::MappedFile file = TRY(base::MappedFile::Open(path));
  kdump::Dump dump = TRY_WRAP(path, kdump::Dump::Parse(file.bytes()));
  if (dump.header().MachineImageType != pe::kMachineAmd64) {
    char machine[16];
    std::snprintf(machine, sizeof machine, "0x%x", dump.header().MachineImageType);
    return base::Fail(path + ": a dump of machine type " + machine + "; only x64 (0x8664) is supported");
  }
  return std::unique_ptr<Target>(std::make_unique<DumpTarget>(std::move(file), std::move(dump), path));
}

base::Result<std::unique_ptr<Target>> OpenLive(int ram_fd, uint64_t header_physical) {
  base::MappedFile ram =
      TRY(base::MappedFile::FromFd(ram_fd, base::MappedFile::Access::kReadOnly, "the machine's memory"));
  const LiveMemory memory(ram.bytes());
  const auto header = memory.Get<kdump::Header64>(header_physical);
  if (!header || header->Signature != kdump::kSignature || header->ValidDump != kdump::kValidDump64) {
    return base::Fail("the live machine has no dump header yet: its kernel has not come far enough");
  }
  return std::unique_ptr<Target>(std::make_unique<LiveTarget>(std::move(ram), *header));
}

}  // namespace debug
