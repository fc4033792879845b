#include "formats/kdump/dump.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace kdump {

namespace {

constexpr uint64_t kRankBits = 4096;        // bitmap bits a rank entry
constexpr uint64_t kMaxPages = 1ull << 40;  // 52 bits of physical address
constexpr uint64_t kMaxRanges = 1u << 20;

std::string Hex(uint64_t value) {
  char text[20];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

uint64_t WordAt(base::Bytes bitmap, uint64_t index) {
  uint64_t word = 0;
  const uint64_t offset = index * 8;
  if (offset < bitmap.size())
    std::memcpy(&word, bitmap.data() + offset, std::min<uint64_t>(8, bitmap.size() - offset));
  return word;
}

}  // namespace

base::Result<Dump> Dump::Parse(base::Bytes file) {
  Dump dump;
  dump.file_ = base::SpanReader(file);
  const auto signature = dump.file_.Get<uint32_t>(0);
  const auto valid = dump.file_.Get<uint32_t>(4);
  if (!signature || !valid)
    return base::Fail("not a crash dump: only " + std::to_string(file.size()) + " bytes");
  if (*signature != kSignature) return base::Fail("not a crash dump: it does not begin with PAGEDU64");
  if (*valid == kValidDump32)
    return base::Fail("a 32-bit crash dump; only 64-bit dumps (PAGEDU64) are supported");
  if (*valid != kValidDump64) return base::Fail("not a crash dump: it does not begin with PAGEDU64");
  auto header = std::make_shared<Header64>();
  if (file.size() < sizeof(Header64)) {
    return base::Fail("cut off: the header needs " + Hex(sizeof(Header64)) + " bytes, there are " +
                      Hex(file.size()));
  }
  std::memcpy(header.get(), file.data(), sizeof(Header64));
  dump.header_ = header;
  switch (dump.type()) {
    case DumpType::kFull:
      TRY(dump.ParseRuns());
      break;
    case DumpType::kBitmapFull:
    case DumpType::kBitmapKernel:
      TRY(dump.ParseBitmap());
      break;
    case DumpType::kKernelRanges:
    case DumpType::kKernelUserRanges:
    case DumpType::kCompleteRanges:
      TRY(dump.ParseRanges());
      break;
    case DumpType::kTriage:
      TRY(dump.ParseTriage());
      break;
    case DumpType::kSummary:
      return base::Fail("dump type 2 (old kernel summary dump) is not supported");
    case DumpType::kHeaderOnly:
      return base::Fail("dump type 3 holds a header only, no memory");
    default:
      return base::Fail("unknown dump type " + Hex(header->Type));
  }
  return dump;
}

const char* Dump::type_name() const {
  switch (type()) {
    case DumpType::kFull:
      return "Full Dump";
    case DumpType::kBitmapFull:
      return "Full Bitmap Dump";
    case DumpType::kBitmapKernel:
      return "Kernel Bitmap Dump";
    case DumpType::kKernelRanges:
      return "Kernel Range Dump";
    case DumpType::kKernelUserRanges:
      return "Kernel and User Range Dump";
    case DumpType::kCompleteRanges:
      return "Complete Range Dump";
    case DumpType::kTriage:
      return "Mini Kernel Dump";
    default:
      return "Dump";
  }
}

base::Result<void> Dump::AddRange(uint64_t base_page, uint64_t count, uint64_t& offset) {
  if (base_page > kMaxPages || count > kMaxPages || offset > kMaxPages * kPageSize) {
    return base::Fail("corrupt: a memory run begins at page " + Hex(base_page) + " and has " + Hex(count) +
                      " pages");
  }
  ranges_.push_back({base_page, count, offset});
  const uint64_t room = file_.size() > offset ? (file_.size() - offset) / kPageSize : 0;
  if (count > room && warning_.empty()) {
    warning_ = "cut off: the file ends at " + Hex(file_.size()) + ", pages go on to " +
               Hex(offset + count * kPageSize);
  }
  present_pages_ += std::min(count, room);
  page_limit_ = std::max(page_limit_, base_page + count);
  offset += count * kPageSize;
  return {};
}

base::Result<void> Dump::ParseRuns() {
  const PhysicalMemoryDescriptor64& memory = header_->PhysicalMemoryBlock;
  if (memory.NumberOfRuns == kSignature)
    return base::Fail("corrupt: the list of memory runs was never written");
  if (memory.NumberOfRuns == 0 || memory.NumberOfRuns > kMaxRuns) {
    return base::Fail("corrupt: " + std::to_string(memory.NumberOfRuns) +
                      " memory runs (1 to 42 are possible)");
  }
  uint64_t offset = kHeaderSize;
  for (uint32_t i = 0; i < memory.NumberOfRuns; ++i) {
    TRY(AddRange(memory.Run[i].BasePage, memory.Run[i].PageCount, offset));
  }
  if (present_pages_ == 0) return base::Fail("cut off: no page of memory is in the file");
  std::ranges::sort(ranges_, {}, &Range::base_page);
  return {};
}

base::Result<void> Dump::ParseBitmap() {
  const auto header = file_.Get<BitmapHeader>(kHeaderSize);
  if (!header) return base::Fail("cut off: the bitmap header is missing");
  if ((header->Signature != kFullBitmapSignature && header->Signature != kKernelBitmapSignature) ||
      header->ValidDump != kValidDump32) {
    return base::Fail("corrupt: no bitmap header (FDMP or SDMP) at 0x2000");
  }
  if (header->Pages == 0 || header->Pages > kMaxPages)
    return base::Fail("corrupt: bitmap of " + Hex(header->Pages) + " bits");
  const uint64_t bitmap_offset = kHeaderSize + sizeof(BitmapHeader);
  const auto bitmap = file_.Slice(bitmap_offset, (header->Pages + 7) / 8);
  if (!bitmap) return base::Fail("cut off: the page bitmap is incomplete");
  if (header->FirstPage < bitmap_offset || header->FirstPage > file_.size()) {
    return base::Fail("corrupt: the first page is said to be at " + Hex(header->FirstPage) +
                      ", the file has " + Hex(file_.size()) + " bytes");
  }
  bitmap_ = *bitmap;
  bitmap_bits_ = page_limit_ = header->Pages;
  first_page_ = header->FirstPage;
  uint64_t rank = 0;
  for (uint64_t word = 0; word * 64 < bitmap_bits_; ++word) {
    if (word % (kRankBits / 64) == 0) ranks_.push_back(rank);
    rank += std::popcount(WordAt(bitmap_, word));
  }
  const uint64_t room = (file_.size() - first_page_) / kPageSize;
  if (room == 0) return base::Fail("cut off: no page of memory is in the file");
  present_pages_ = std::min(rank, room);
  if (rank > room) {
    warning_ = "cut off: the file holds " + std::to_string(room) + " of " + std::to_string(rank) + " pages";
  }
  return {};
}

base::Result<void> Dump::ParseRanges() {
  constexpr uint64_t kRangesOffset = 0x30;
  const auto tag = file_.Get<uint32_t>(kHeaderSize + 4);
  const auto first_page = file_.Get<uint64_t>(kHeaderSize + 0x18);
  if (!tag || !first_page) return base::Fail("cut off: the range header is missing");
  if (*tag != kRangesSignature) return base::Fail("corrupt: no range header (RDMP) at 0x2000");
  if (*first_page < kHeaderSize + kRangesOffset || *first_page > file_.size()) {
    return base::Fail("corrupt: the first page is said to be at " + Hex(*first_page));
  }
  uint64_t wanted = (*first_page - kHeaderSize - kRangesOffset) / sizeof(PhysicalRun);
  const bool counted = type() == DumpType::kCompleteRanges;
  if (counted) wanted = std::min<uint64_t>(wanted, file_.Get<uint32_t>(kHeaderSize + 0x20).value_or(0));
  uint64_t offset = *first_page;
  for (uint64_t i = 0; i < std::min(wanted, kMaxRanges); ++i) {
    const auto run = file_.Get<PhysicalRun>(kHeaderSize + kRangesOffset + i * sizeof(PhysicalRun));
    if (!run || (!counted && run->BasePage == 0)) break;
    TRY(AddRange(run->BasePage, run->PageCount, offset));
  }
  if (present_pages_ == 0) return base::Fail("cut off or corrupt: no page of memory is in the file");
  std::ranges::sort(ranges_, {}, &Range::base_page);
  return {};
}

base::Result<void> Dump::ParseTriageDrivers(const TriageHeader& triage) {
  // The entry's size grew over time; names directly follow the entries, which gives it away.
  if (triage.DriverCount == 0 || triage.StringPoolOffset <= triage.DriverListOffset) return {};
  const uint64_t stride = (triage.StringPoolOffset - triage.DriverListOffset) / triage.DriverCount;
  if (stride < 0x90) return {};
  for (uint32_t i = 0; i < std::min<uint32_t>(triage.DriverCount, 4096); ++i) {
    const uint64_t entry = triage.DriverListOffset + i * stride;
    const auto name_offset = file_.Get<uint32_t>(entry);
    const auto base = file_.Get<uint64_t>(entry + 0x38);
    const auto size = file_.Get<uint32_t>(entry + 0x48);
    const auto checksum = file_.Get<uint32_t>(entry + 0x80);
    const auto stamp = file_.Get<uint32_t>(entry + 0x88);
    if (!name_offset || !base || !size || !checksum || !stamp)
      return base::Fail("cut off: the list of drivers is incomplete");
    TriageDriver driver{"", *base, *size, *stamp, *checksum};
    const uint32_t length = std::min<uint32_t>(file_.Get<uint32_t>(*name_offset).value_or(0), 260);
    for (uint32_t c = 0; c < length; ++c) {
      const auto unit = file_.Get<uint16_t>(*name_offset + 4ull + 2 * c);
      if (!unit || *unit == 0) break;
      driver.name += *unit < 0x80 ? static_cast<char>(*unit) : '?';
    }
    drivers_.push_back(std::move(driver));
  }
  return {};
}

base::Result<void> Dump::ParseTriage() {
  const auto triage = file_.Get<TriageHeader>(kHeaderSize);
  if (!triage) return base::Fail("cut off: the triage header is missing");
  if (const auto mark = file_.Get<uint32_t>(triage->ValidOffset); !mark || *mark != 0x44475254) {
    return base::Fail("cut off: the end mark of the triage data is missing");
  }
  const auto add = [&](uint64_t address, uint64_t offset, uint64_t size) {
    if (size == 0) return;
    if (const auto bytes = file_.Slice(offset, size)) blocks_.push_back({address, *bytes});
  };
  add(triage->TopOfStack, triage->CallStackOffset, triage->SizeOfCallStack);
  add(triage->DataPageAddress, triage->DataPageOffset, triage->DataPageSize);
  for (uint64_t i = 0; i < std::min<uint32_t>(triage->DataBlocksCount, 1u << 20); ++i) {
    const uint64_t entry = triage->DataBlocksOffset + 16 * i;
    const auto address = file_.Get<uint64_t>(entry);
    const auto offset = file_.Get<uint32_t>(entry + 8);
    const auto size = file_.Get<uint32_t>(entry + 12);
    if (!address || !offset || !size) return base::Fail("cut off: the list of data blocks is incomplete");
    add(*address, *offset, *size);
  }
  std::ranges::sort(blocks_, {}, &VirtualBlock::address);
  if (triage->DebuggerDataSize != 0) {
    debugger_data_ =
        file_.Slice(triage->DebuggerDataOffset, triage->DebuggerDataSize).value_or(base::Bytes{});
    if (!debugger_data_.empty()) {
      blocks_.push_back({header_->KdDebuggerDataBlock, debugger_data_});
      std::ranges::sort(blocks_, {}, &VirtualBlock::address);
    }
  }
  return ParseTriageDrivers(*triage);
}

bool Dump::BitmapHas(uint64_t pfn) const {
  return pfn < bitmap_bits_ && (static_cast<uint8_t>(bitmap_[pfn / 8]) >> (pfn % 8) & 1) != 0;
}

base::Bytes Dump::BehindPages() const {
  uint64_t end = bitmap_bits_ != 0 ? first_page_ + present_pages_ * kPageSize : 0;
  for (const Range& range : ranges_) end = std::max(end, range.offset + range.count * kPageSize);
  if (end == 0 || end >= file_.size()) return {};
  return file_.Slice(end, file_.size() - end).value_or(base::Bytes{});
}

std::optional<base::Bytes> Dump::Page(uint64_t pfn) const {
  if (!bitmap_.empty()) {
    if (!BitmapHas(pfn)) return std::nullopt;
    uint64_t rank = ranks_[pfn / kRankBits];
    uint64_t word = pfn / kRankBits * (kRankBits / 64);
    for (; word < pfn / 64; ++word) rank += std::popcount(WordAt(bitmap_, word));
    rank += std::popcount(WordAt(bitmap_, word) & ((1ull << (pfn % 64)) - 1));
    return file_.Slice(first_page_ + rank * kPageSize, kPageSize);
  }
  auto next = std::ranges::upper_bound(ranges_, pfn, {}, &Range::base_page);
  if (next == ranges_.begin()) return std::nullopt;
  const Range& range = *--next;
  if (pfn - range.base_page >= range.count) return std::nullopt;
  return file_.Slice(range.offset + (pfn - range.base_page) * kPageSize, kPageSize);
}

std::vector<PhysicalRun> Dump::PresentRuns() const {
  std::vector<PhysicalRun> runs;
  const auto add = [&](uint64_t base_page, uint64_t count) {
    if (count == 0) return;
    if (!runs.empty() && runs.back().BasePage + runs.back().PageCount == base_page) {
      runs.back().PageCount += count;
    } else {
      runs.push_back({base_page, count});
    }
  };
  for (const Range& range : ranges_) {
    const uint64_t room = file_.size() > range.offset ? (file_.size() - range.offset) / kPageSize : 0;
    add(range.base_page, std::min(range.count, room));
  }
  uint64_t left = bitmap_.empty() ? 0 : present_pages_;
  for (uint64_t word = 0; word * 64 < bitmap_bits_ && left != 0; ++word) {
    for (uint64_t bits = WordAt(bitmap_, word); bits != 0 && left != 0; bits &= bits - 1, --left) {
      add(word * 64 + std::countr_zero(bits), 1);
    }
  }
  return runs;
}

}  // namespace kdump
