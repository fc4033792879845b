#include "boot/kernel_image.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

namespace boot {
namespace {

constexpr uint16_t kMachineAmd64 = 0x8664;
constexpr uint16_t kOptionalHeader64 = 0x20B;
constexpr uint32_t kSectionExecute = 0x20000000;
constexpr uint32_t kSectionWrite = 0x80000000;
constexpr uint32_t kMaximumImage = 64u << 20;
constexpr uint16_t kRelocationAbsolute = 0;
constexpr uint16_t kRelocationDir64 = 10;

template <typename T>
base::Result<T> Header(const base::SpanReader& file, uint64_t offset) {
  return file.Read<T>(offset, "a header");
}

uint32_t RoundToPages(uint32_t size) {
  return (size + kPageSize - 1) & ~static_cast<uint32_t>(kPageSize - 1);
}

}  // namespace

base::Result<KernelImage> KernelImage::Parse(base::Bytes bytes) {
  KernelImage image;
  image.file_ = base::SpanReader(bytes);
  const auto& file = image.file_;
  if (file.Get<uint16_t>(0) != 0x5A4D) return base::Fail("not a PE image");
  const uint64_t nt = TRY(Header<uint32_t>(file, 0x3C));
  if (file.Get<uint32_t>(nt) != 0x4550u) return base::Fail("not a PE image");
  if (file.Get<uint16_t>(nt + 4) != kMachineAmd64) return base::Fail("not an image for x64");
  const uint16_t section_count = TRY(Header<uint16_t>(file, nt + 6));
  const uint16_t optional_size = TRY(Header<uint16_t>(file, nt + 20));
  const uint64_t optional = nt + 24;
  if (file.Get<uint16_t>(optional) != kOptionalHeader64 || optional_size < 112 + 6 * 8) {
    return base::Fail("not a 64-bit PE image");
  }
  image.entry_rva_ = TRY(Header<uint32_t>(file, optional + 16));
  image.base_field_offset_ = optional + 24;
  image.preferred_base_ = TRY(Header<uint64_t>(file, optional + 24));
  if (TRY(Header<uint32_t>(file, optional + 32)) != kPageSize)
    return base::Fail("its sections are not page aligned");
  image.size_ = TRY(Header<uint32_t>(file, optional + 56));
  image.headers_size_ = TRY(Header<uint32_t>(file, optional + 60));
  if (image.size_ == 0 || image.size_ > kMaximumImage) return base::Fail("SizeOfImage is out of range");
  image.size_ = RoundToPages(image.size_);
  if (image.headers_size_ > image.size_ || !file.Has(0, image.headers_size_))
    return base::Fail("its headers are cut off");
  if (image.entry_rva_ == 0 || image.entry_rva_ >= image.size_)
    return base::Fail("its entry point lies outside");
  if (TRY(Header<uint32_t>(file, optional + 108)) > 5) {
    image.relocations_rva_ = TRY(Header<uint32_t>(file, optional + 112 + 5 * 8));
    image.relocations_size_ = TRY(Header<uint32_t>(file, optional + 112 + 5 * 8 + 4));
  }
  TRY(image.ParseSections(optional + optional_size, section_count));
  return image;
}

base::Result<void> KernelImage::ParseSections(uint64_t table_offset, uint16_t count) {
  uint32_t previous_end = RoundToPages(headers_size_);
  for (uint16_t i = 0; i < count; i++) {
    const uint64_t header = table_offset + i * 40ull;
    if (!file_.Has(header, 40)) return base::Fail("its section table is cut off");
    const char* name = reinterpret_cast<const char*>(file_.bytes().data() + header);
    ImageSection section{};
    section.name.assign(name, strnlen(name, 8));
    section.virtual_size = *file_.Get<uint32_t>(header + 8);
    section.rva = *file_.Get<uint32_t>(header + 12);
    section.file_size = *file_.Get<uint32_t>(header + 16);
    section.file_offset = *file_.Get<uint32_t>(header + 20);
    const uint32_t flags = *file_.Get<uint32_t>(header + 36);
    if (section.virtual_size == 0) section.virtual_size = section.file_size;
    section.file_size = std::min(section.file_size, section.virtual_size);
    const bool inside = section.rva % kPageSize == 0 && section.rva >= previous_end && section.rva < size_ &&
                        section.virtual_size <= size_ - section.rva;
    if (!inside) return base::Fail(fmt::format("section {} does not fit in the image", section.name));
    if (!file_.Has(section.file_offset, section.file_size)) {
      return base::Fail(fmt::format("section {} is cut off", section.name));
    }
    const bool write = (flags & kSectionWrite) != 0;
    const bool execute = (flags & kSectionExecute) != 0;
    if (write && execute)
      return base::Fail(fmt::format("section {} is writable and executable", section.name));
    section.protection = execute ? Protection::kReadExecute
                         : write ? Protection::kReadWrite
                                 : Protection::kReadOnly;
    previous_end = section.rva + RoundToPages(section.virtual_size);
    sections_.push_back(std::move(section));
  }
  return {};
}

base::Result<void> KernelImage::Load(std::span<std::byte> destination, uint64_t base) const {
  if (destination.size() < size_) return base::Fail("no room for the image");
  std::memcpy(destination.data(), file_.bytes().data(), headers_size_);
  for (const ImageSection& section : sections_) {
    std::memcpy(destination.data() + section.rva, file_.bytes().data() + section.file_offset,
                section.file_size);
  }
  if (base == preferred_base_) return {};
  TRY(Relocate(destination.first(size_), base - preferred_base_));
  if (base_field_offset_ + sizeof(base) <= headers_size_) {
    std::memcpy(destination.data() + base_field_offset_, &base, sizeof(base));
  }
  return {};
}

base::Result<void> KernelImage::Relocate(std::span<std::byte> image, uint64_t delta) const {
  if (relocations_size_ == 0) return base::Fail("it has no relocations and cannot be moved");
  const base::SpanReader memory{image};
  const auto table = memory.Slice(relocations_rva_, relocations_size_);
  if (!table) return base::Fail("its relocations lie outside the image");
  const base::SpanReader blocks(*table);
  for (uint64_t offset = 0; offset < blocks.size();) {
    const uint32_t page = TRY(blocks.Read<uint32_t>(offset, "a relocation block"));
    const uint32_t size = TRY(blocks.Read<uint32_t>(offset + 4, "a relocation block"));
    if (size < 8 || !blocks.Has(offset, size)) return base::Fail("a relocation block has an impossible size");
    for (uint64_t at = offset + 8; at + 2 <= offset + size; at += 2) {
      const uint16_t entry = *blocks.Get<uint16_t>(at);
      if (entry >> 12 == kRelocationAbsolute) continue;
      const uint64_t target = page + uint64_t{entry & 0xFFFu};
      const auto value = memory.Get<uint64_t>(target);
      if (entry >> 12 != kRelocationDir64 || !value)
        return base::Fail("a relocation is of an unknown kind or outside");
      const uint64_t moved = *value + delta;
      std::memcpy(image.data() + target, &moved, sizeof(moved));
    }
    offset += size;
  }
  return {};
}

}  // namespace boot
