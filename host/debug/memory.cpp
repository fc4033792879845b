#include "debug/memory.h"

#include <algorithm>
#include <cstring>

namespace debug {

namespace {

constexpr uint64_t kPresent = 1;
constexpr uint64_t kLargePage = 0x80;
constexpr uint64_t kFrameMask = 0x000ffffffffff000;
constexpr uint64_t kMaxReadBytes = 256ull << 20;

void AppendUtf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  }
}

}  // namespace

bool PhysicalMemory::Read(uint64_t address, std::span<std::byte> out) const {
  while (!out.empty()) {
    const auto page = Page(address / kPageSize);
    if (!page) return false;
    const uint64_t offset = address % kPageSize;
    const uint64_t part = std::min<uint64_t>(out.size(), kPageSize - offset);
    std::memcpy(out.data(), page->data() + offset, part);
    out = out.subspan(part);
    address += part;
  }
  return true;
}

std::string FormatAddress(uint64_t address) {
  char text[20];
  std::snprintf(text, sizeof text, "%08x`%08x", static_cast<unsigned>(address >> 32),
                static_cast<unsigned>(address));
  return text;
}

bool IsCanonical(uint64_t address) {
  return address < 0x0000800000000000 || address >= 0xffff800000000000;
}

VirtualMemory::VirtualMemory(const PhysicalMemory& memory, uint64_t directory_table_base)
    : memory_(&memory), directory_table_base_(directory_table_base & kFrameMask) {}

Translation VirtualMemory::Translate(uint64_t address) const {
  Translation result;
  if (!IsCanonical(address)) return result;
  uint64_t table = directory_table_base_;
  for (int level = 0; level < 4; ++level) {
    const int shift = 39 - 9 * level;
    PteStep& step = result.steps[level];
    step.entry_physical = table + (address >> shift & 0x1ff) * 8;
    const auto entry = memory_->Get<uint64_t>(step.entry_physical);
    if (!entry) return result;
    step.entry = *entry;
    result.levels = level + 1;
    const bool is_leaf = level == 3 || ((level == 1 || level == 2) && (*entry & kLargePage) != 0);
    if ((*entry & kPresent) == 0) {
      // A page on its way out is still in memory: transition set, prototype clear.
      const bool in_transition = level == 3 && bits_.transition != 0 && (*entry & bits_.transition) != 0 &&
                                 (*entry & bits_.prototype) == 0;
      if (!in_transition) return result;
      result.from_transition = true;
    }
    if (is_leaf) {
      result.page_size = 1ull << shift;
      result.physical = (*entry & kFrameMask & ~(result.page_size - 1)) | (address & (result.page_size - 1));
      result.valid = true;
      return result;
    }
    table = *entry & kFrameMask;
  }
  return result;
}

std::optional<uint64_t> VirtualMemory::PageOf(uint64_t address) const {
  const uint64_t page = address / kPageSize;
  CacheLine& line = cache_[page % cache_.size()];
  if (cacheable_ && line.page == page) return line.pfn;
  const Translation translation = Translate(address);
  if (!translation.valid) return std::nullopt;
  const uint64_t pfn = translation.physical / kPageSize;
  if (cacheable_) line = {page, pfn};
  return pfn;
}

base::Bytes VirtualMemory::View(uint64_t address, uint64_t limit) const {
  if (!blocks_.empty()) {
    auto next = std::ranges::upper_bound(blocks_, address, {}, &kdump::VirtualBlock::address);
    // Blocks may overlap; look back over a few.
    for (int i = 0; i < 8 && next != blocks_.begin(); ++i) {
      --next;
      const uint64_t offset = address - next->address;
      if (offset < next->bytes.size()) {
        return next->bytes.subspan(offset, std::min<uint64_t>(limit, next->bytes.size() - offset));
      }
    }
  }
  const auto pfn = PageOf(address);
  if (!pfn) return {};
  const auto page = memory_->Page(*pfn);
  if (!page) return {};
  const uint64_t offset = address % kPageSize;
  return page->subspan(offset, std::min(limit, kPageSize - offset));
}

uint64_t VirtualMemory::ReadUpTo(uint64_t address, std::span<std::byte> out) const {
  uint64_t done = 0;
  while (done < out.size()) {
    const base::Bytes view = View(address + done, out.size() - done);
    if (view.empty()) break;
    std::memcpy(out.data() + done, view.data(), view.size());
    done += view.size();
  }
  return done;
}

base::Result<void> VirtualMemory::Read(uint64_t address, std::span<std::byte> out) const {
  const uint64_t done = ReadUpTo(address, out);
  if (done == out.size()) return {};
  return base::Fail("memory at " + FormatAddress(address + done) + " is not readable");
}

uint64_t VirtualMemory::ReadSparse(uint64_t address, std::span<std::byte> out) const {
  uint64_t present = 0;
  for (uint64_t done = 0; done < out.size();) {
    const uint64_t got = ReadUpTo(address + done, out.subspan(done));
    present += got;
    done += got;
    const uint64_t gap = std::min<uint64_t>(out.size() - done, kPageSize - (address + done) % kPageSize);
    std::memset(out.data() + done, 0, gap);
    done += gap;
  }
  return present;
}

base::Result<std::vector<std::byte>> VirtualMemory::ReadBytes(uint64_t address, uint64_t length) const {
  if (length > kMaxReadBytes)
    return base::Fail("a read of " + std::to_string(length) + " bytes is too large");
  std::vector<std::byte> bytes;
  // Grown as memory turns out to be there, so that a wrong length costs nothing.
  while (bytes.size() < length) {
    const base::Bytes view = View(address + bytes.size(), length - bytes.size());
    if (view.empty())
      return base::Fail("memory at " + FormatAddress(address + bytes.size()) + " is not readable");
    bytes.insert(bytes.end(), view.begin(), view.end());
  }
  return bytes;
}

std::string VirtualMemory::ReadCString(uint64_t address, uint64_t limit) const {
  std::string text;
  while (text.size() < limit) {
    const base::Bytes view = View(address + text.size(), limit - text.size());
    if (view.empty()) break;
    const auto* begin = reinterpret_cast<const char*>(view.data());
    const void* end = std::memchr(begin, 0, view.size());
    text.append(begin, end != nullptr ? static_cast<const char*>(end) - begin : view.size());
    if (end != nullptr) break;
  }
  return text;
}

std::string Utf16ToUtf8(std::span<const std::byte> utf16) {
  std::string out;
  const base::SpanReader r(utf16);
  for (uint64_t at = 0; at + 2 <= utf16.size(); at += 2) {
    uint32_t code = *r.Get<uint16_t>(at);
    if (code >= 0xd800 && code < 0xdc00) {
      const auto low = r.Get<uint16_t>(at + 2);
      if (low && *low >= 0xdc00 && *low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10 | (*low - 0xdc00));
        at += 2;
      } else {
        code = 0xfffd;
      }
    } else if (code >= 0xdc00 && code < 0xe000) {
      code = 0xfffd;
    }
    AppendUtf8(out, code);
  }
  return out;
}

base::Result<std::string> VirtualMemory::ReadUtf16(uint64_t address, uint64_t length) const {
  if (length > 65536) return base::Fail("a string of " + std::to_string(length) + " bytes is too long");
  return Utf16ToUtf8(TRY(ReadBytes(address, length)));
}

}  // namespace debug
