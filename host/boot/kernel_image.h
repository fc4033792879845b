// Reads the kernel's PE image from its file bytes: what the loader needs to lay it out in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/span_reader.h"
#include "boot/page_tables.h"

namespace boot {

struct ImageSection {
  std::string name;
  uint32_t rva;
  uint32_t virtual_size;
  uint32_t file_offset;
  uint32_t file_size;
  Protection protection;
};

class KernelImage {
 public:
  // Checks headers, section bounds and protections (a section that is writable and executable is refused).
  static base::Result<KernelImage> Parse(base::Bytes file);

  uint64_t preferred_base() const { return preferred_base_; }
  uint32_t size() const { return size_; }  // SizeOfImage, rounded up to pages
  uint32_t entry_rva() const { return entry_rva_; }
  uint32_t headers_size() const { return headers_size_; }
  const std::vector<ImageSection>& sections() const { return sections_; }

  // Copies headers and sections to `destination` (size() bytes, zeroed) and relocates them for `base`.
  base::Result<void> Load(std::span<std::byte> destination, uint64_t base) const;

 private:
  base::Result<void> ParseSections(uint64_t table_offset, uint16_t count);
  base::Result<void> Relocate(std::span<std::byte> image, uint64_t delta) const;

  base::SpanReader file_;
  uint64_t preferred_base_ = 0;
  uint64_t base_field_offset_ = 0;
  uint32_t size_ = 0;
  uint32_t entry_rva_ = 0;
  uint32_t headers_size_ = 0;
  uint32_t relocations_rva_ = 0;
  uint32_t relocations_size_ = 0;
  std::vector<ImageSection> sections_;
};

}  // namespace boot
