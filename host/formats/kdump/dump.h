// Reading and laying out 64-bit kernel crash dumps. The parser takes any bytes; broken files give an Error
// that says where.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/span_reader.h"
#include "formats/kdump/layout.h"

namespace kdump {

// A piece of virtual memory that a triage dump holds.
struct VirtualBlock {
  uint64_t address = 0;
  base::Bytes bytes;
};

// A loaded image as a triage dump lists it.
struct TriageDriver {
  std::string name;
  uint64_t base = 0;
  uint64_t size = 0;
  uint32_t time_date_stamp = 0;
  uint32_t checksum = 0;
};

class Dump {
 public:
  // Keeps the span, which must outlive it. Errors: not a dump, 32-bit, unknown type, cut off.
  static base::Result<Dump> Parse(base::Bytes file);

  const Header64& header() const { return *header_; }
  DumpType type() const { return static_cast<DumpType>(header_->Type); }
  const char* type_name() const;

  // The 4096 bytes of physical page `pfn`; nothing when the dump does not hold it.
  std::optional<base::Bytes> Page(uint64_t pfn) const;
  uint64_t present_pages() const { return present_pages_; }
  // Ascending, disjoint ranges of the pages that the dump holds.
  std::vector<PhysicalRun> PresentRuns() const;
  // What follows the last page of the file.
  base::Bytes BehindPages() const;
  // One past the highest page that the dump can hold.
  uint64_t page_limit() const { return page_limit_; }
  // "" or one sentence: the file ends before its last page (what is there remains usable).
  const std::string& warning() const { return warning_; }

  // Triage dumps (type 4): no physical pages, pieces of virtual memory instead. Sorted by address.
  const std::vector<VirtualBlock>& virtual_blocks() const { return blocks_; }
  const std::vector<TriageDriver>& triage_drivers() const { return drivers_; }
  // The thread, process and PRCB copies of a triage dump; empty when absent.
  base::Bytes triage_debugger_data() const { return debugger_data_; }

 private:
  struct Range {
    uint64_t base_page;
    uint64_t count;
    uint64_t offset;  // in the file
  };
  base::Result<void> ParseRuns();
  base::Result<void> ParseBitmap();
  base::Result<void> ParseRanges();
  base::Result<void> ParseTriage();
  base::Result<void> ParseTriageDrivers(const TriageHeader& triage);
  base::Result<void> AddRange(uint64_t base_page, uint64_t count, uint64_t& offset);
  bool BitmapHas(uint64_t pfn) const;

  base::SpanReader file_;
  std::shared_ptr<const Header64> header_;
  uint64_t present_pages_ = 0;
  uint64_t page_limit_ = 0;
  std::vector<Range> ranges_;  // types 1, 8, 9, A; sorted by base_page
  base::Bytes bitmap_;         // types 5, 6
  uint64_t bitmap_bits_ = 0;
  uint64_t first_page_ = 0;
  std::vector<uint64_t> ranks_;  // present pages before each block of kRankBits bits
  std::vector<VirtualBlock> blocks_;
  std::vector<TriageDriver> drivers_;
  base::Bytes debugger_data_;
  std::string warning_;
};

// ---- Writing ----

// A header with every field 'PAGE' as Windows leaves it, and the signature, version and machine fields set.
Header64 NewHeader();

// Everything in front of the first page, for a dump of type 1: sets Type, the runs, NumberOfPages and
// RequiredDumpSpace of `header` and gives the 0x2000 bytes. The pages follow, in run order. At most 42
// ascending runs.
base::Result<std::vector<std::byte>> LayOutFull(Header64 header, std::span<const PhysicalRun> runs);

// The same for a bitmap dump, kBitmapFull or kBitmapKernel. `bitmap`: bit n = PFN n. The result is page
// aligned: header, bitmap header, bitmap (bit count rounded up to a multiple of 64), fill. The present pages
// follow in PFN order. The header's runs are kept as they are: they describe the machine's memory, not the
// pages present.
base::Result<std::vector<std::byte>> LayOutBitmap(Header64 header, DumpType type,
                                                  std::span<const uint64_t> bitmap, uint64_t bits);

}  // namespace kdump
