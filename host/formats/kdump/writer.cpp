#include <bit>
#include <cstring>

#include "formats/kdump/dump.h"

namespace kdump {

namespace {

// Windows fills what it does not set with the signature.
void FillWithSignature(std::span<std::byte> bytes) {
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(kSignature >> (i % 4 * 8));
}

}  // namespace

Header64 NewHeader() {
  Header64 header;
  FillWithSignature(std::as_writable_bytes(std::span(&header, 1)));
  header.Signature = kSignature;
  header.ValidDump = kValidDump64;
  header.MajorVersion = 15;
  header.MachineImageType = 0x8664;
  std::memset(&header.Context, 0, sizeof header.Context);
  std::memset(&header.Exception, 0, sizeof header.Exception);
  std::memset(header.Comment, 0, sizeof header.Comment);
  return header;
}

base::Result<std::vector<std::byte>> LayOutFull(Header64 header, std::span<const PhysicalRun> runs) {
  if (runs.empty() || runs.size() > kMaxRuns) {
    return base::Fail("a full dump holds 1 to 42 memory runs, not " + std::to_string(runs.size()));
  }
  uint64_t pages = 0;
  uint64_t next = 0;
  for (size_t i = 0; i < runs.size(); ++i) {
    if (runs[i].BasePage < next) return base::Fail("memory runs overlap or are out of order");
    next = runs[i].BasePage + runs[i].PageCount;
    pages += runs[i].PageCount;
    header.PhysicalMemoryBlock.Run[i] = runs[i];
  }
  header.PhysicalMemoryBlock.NumberOfRuns = static_cast<uint32_t>(runs.size());
  header.PhysicalMemoryBlock.NumberOfPages = pages;
  header.Type = static_cast<uint32_t>(DumpType::kFull);
  header.RequiredDumpSpace = kHeaderSize + pages * kPageSize;
  const auto bytes = std::as_bytes(std::span(&header, 1));
  return std::vector<std::byte>(bytes.begin(), bytes.end());
}

base::Result<std::vector<std::byte>> LayOutBitmap(Header64 header, DumpType type,
                                                  std::span<const uint64_t> bitmap, uint64_t bits) {
  if (type != DumpType::kBitmapFull && type != DumpType::kBitmapKernel)
    return base::Fail("not a bitmap dump type");
  const uint64_t words = (bits + 63) / 64;
  if (bits == 0 || words > bitmap.size()) return base::Fail("the page bitmap is smaller than its bit count");
  uint64_t present = 0;
  for (uint64_t i = 0; i < words; ++i) {
    uint64_t word = bitmap[i];
    if (i + 1 == words && bits % 64 != 0) word &= (1ull << bits % 64) - 1;
    present += std::popcount(word);
  }
  constexpr uint64_t kBitmapOffset = kHeaderSize + sizeof(BitmapHeader);
  const uint64_t first_page = (kBitmapOffset + words * 8 + kPageSize - 1) & ~(kPageSize - 1);
  header.Type = static_cast<uint32_t>(type);
  header.RequiredDumpSpace = first_page + present * kPageSize;

  std::vector<std::byte> out(first_page);
  FillWithSignature(out);
  std::memcpy(out.data(), &header, sizeof header);
  BitmapHeader bitmap_header{};
  bitmap_header.Signature = type == DumpType::kBitmapFull ? kFullBitmapSignature : kKernelBitmapSignature;
  bitmap_header.ValidDump = kValidDump32;
  bitmap_header.FirstPage = first_page;
  bitmap_header.TotalPresentPages = present;
  bitmap_header.Pages = words * 64;
  std::memcpy(out.data() + kHeaderSize, &bitmap_header, sizeof bitmap_header);
  std::memcpy(out.data() + kBitmapOffset, bitmap.data(), words * 8);
  if (bits % 64 != 0) {
    const uint64_t last = bitmap[words - 1] & ((1ull << bits % 64) - 1);
    std::memcpy(out.data() + kBitmapOffset + (words - 1) * 8, &last, 8);
  }
  return out;
}

}  // namespace kdump
