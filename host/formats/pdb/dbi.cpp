#include "formats/pdb/dbi.h"

#include <algorithm>
#include <cstddef>

#include "formats/pdb/records.h"

namespace pdb {

namespace {

struct DbiHeader {
  int32_t Signature;
  uint32_t Version, Age;
  uint16_t GlobalStream, BuildNumber, PublicStream, DllVersion, SymbolRecordStream, DllRebuild;
  uint32_t ModuleInfoSize, ContributionSize, SectionMapSize, SourceInfoSize, TypeServerMapSize, MfcTypeServer,
      DebugHeaderSize, EcSize;
  uint16_t Flags, Machine;
  uint32_t Padding;
};
static_assert(sizeof(DbiHeader) == 64);

constexpr uint32_t kContributionVersion60 = 0xeffe0000 + 19970605;
constexpr uint32_t kContributionVersion2 = 0xeffe0000 + 20140516;
constexpr size_t kMaxModules = 65535;

}  // namespace

base::Result<Dbi> Dbi::Parse(const Msf& msf) {
  Dbi dbi;
  const base::SpanReader r(msf.Stream(3));
  const auto header = r.Get<DbiHeader>(0);
  if (!header) {
    if (r.size() != 0) return base::Fail("corrupt PDB: the DBI stream is cut off");
    return dbi;
  }
  if (header->Signature != -1) return base::Fail("corrupt PDB: the DBI stream has an unknown header");
  dbi.present_ = true;
  dbi.age_ = header->Age;
  dbi.machine_ = header->Machine;
  dbi.symbol_records_stream_ = header->SymbolRecordStream;
  uint64_t at = sizeof(DbiHeader);
  const auto take = [&](uint32_t size) {
    const auto bytes = r.Slice(at, size);
    at += size;
    return bytes;
  };
  const auto modules = take(header->ModuleInfoSize);
  const auto contributions = take(header->ContributionSize);
  if (!modules || !contributions) return base::Fail("corrupt PDB: the DBI stream is cut off");
  at +=
      uint64_t{header->SectionMapSize} + header->SourceInfoSize + header->TypeServerMapSize + header->EcSize;
  const auto debug_header = take(header->DebugHeaderSize);
  if (!debug_header) return base::Fail("corrupt PDB: the DBI stream is cut off");
  dbi.contributions_bytes_ = *contributions;
  dbi.ParseModules(*modules);
  dbi.ParseSections(msf, *debug_header);
  return dbi;
}

void Dbi::ParseModules(base::Bytes bytes) {
  Cursor c(bytes);
  while (c.ok() && c.left() >= 64 && modules_.size() < kMaxModules) {
    ModuleInfo module;
    c.Skip(4 + 28 + 2);
    module.stream = c.Get<uint16_t>();
    module.symbols_size = c.Get<uint32_t>();
    module.c11_size = c.Get<uint32_t>();
    module.c13_size = c.Get<uint32_t>();
    c.Skip(16);
    c.Name();
    c.Name();
    if (!c.ok()) return;
    c.Skip(std::min<uint64_t>((4 - c.at() % 4) % 4, c.left()));
    modules_.push_back(module);
  }
}

void Dbi::ParseSections(const Msf& msf, base::Bytes debug_header) {
  constexpr size_t kOmapFromSource = 4, kSectionHeaders = 5, kOriginalSectionHeaders = 10;
  const base::SpanReader r(debug_header);
  const auto stream = [&](size_t index) -> base::Bytes {
    const auto number = r.Get<uint16_t>(2 * index);
    return number && *number != 0xffff ? msf.Stream(*number) : base::Bytes{};
  };
  base::Bytes headers = stream(kSectionHeaders);
  const base::Bytes omap = stream(kOmapFromSource);
  if (const base::Bytes original = stream(kOriginalSectionHeaders); !omap.empty() && !original.empty()) {
    headers = original;
    const base::SpanReader o(omap);
    for (uint64_t at = 0; o.Has(at, 8); at += 8)
      omap_.emplace_back(*o.Get<uint32_t>(at), *o.Get<uint32_t>(at + 4));
    std::ranges::sort(omap_);
  }
  const base::SpanReader s(headers);
  for (uint64_t at = 0; s.Has(at, 40) && sections_.size() < 1024; at += 40) {
    sections_.push_back(
        {*s.Get<uint32_t>(at + 12), std::max(*s.Get<uint32_t>(at + 8), *s.Get<uint32_t>(at + 16))});
  }
}

std::optional<uint32_t> Dbi::Rva(uint16_t section, uint32_t offset) const {
  if (section == 0 || section > sections_.size()) return std::nullopt;
  const uint32_t rva = sections_[section - 1].rva + offset;
  if (omap_.empty()) return rva;
  auto next = std::ranges::upper_bound(omap_, rva, {}, &std::pair<uint32_t, uint32_t>::first);
  if (next == omap_.begin()) return std::nullopt;
  --next;
  if (next->second == 0) return std::nullopt;  // removed
  return next->second + (rva - next->first);
}

std::optional<size_t> Dbi::SectionAt(uint32_t rva) const {
  for (size_t i = 0; i < sections_.size(); ++i) {
    if (rva >= sections_[i].rva && rva - sections_[i].rva < sections_[i].size) return i;
  }
  return std::nullopt;
}

void Dbi::BuildContributions() const {
  if (contributions_built_) return;
  contributions_built_ = true;
  const base::SpanReader r(contributions_bytes_);
  const auto version = r.Get<uint32_t>(0);
  if (version != kContributionVersion60 && version != kContributionVersion2) return;
  const uint64_t stride = version == kContributionVersion2 ? 32 : 28;
  for (uint64_t at = 4; r.Has(at, stride); at += stride) {
    const auto rva = Rva(*r.Get<uint16_t>(at), *r.Get<uint32_t>(at + 4));
    if (rva) contributions_.push_back({*rva, *r.Get<uint32_t>(at + 8), *r.Get<uint16_t>(at + 16)});
  }
  std::ranges::sort(contributions_, {}, &Contribution::rva);
}

std::optional<uint32_t> Dbi::ModuleAt(uint32_t rva) const {
  BuildContributions();
  auto next = std::ranges::upper_bound(contributions_, rva, {}, &Contribution::rva);
  if (next == contributions_.begin()) return std::nullopt;
  --next;
  if (rva - next->rva >= next->size || next->module >= modules_.size()) return std::nullopt;
  return next->module;
}

}  // namespace pdb
