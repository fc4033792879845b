// For tests: a small machine whose kernel is the sample image, laid out by the types of the sample's own PDB.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "debug/session.h"
#include "formats/kdump/dump.h"
#include "formats/pe/image.h"
#include "formats/symbols/source.h"

namespace debug::testing {

class SyntheticMachine {
 public:
  static constexpr uint64_t kKernelBase = 0xfffff80212340000;
  static constexpr uint64_t kLargePageVa = 0xfffff80212400000;   // one 2 MiB page, physical 2 MiB..4 MiB
  static constexpr uint64_t kTransitionVa = 0xfffff802123ff000;  // a page in transition state
  static constexpr uint64_t kPages = 1024;
  static constexpr uint64_t kDirectory = 0x1000;

  // The sample as kernel, with two modules, three processes, four threads and two processors.
  SyntheticMachine();

  uint64_t Symbol(std::string_view name) const;
  uint64_t Offset(std::string_view type, std::string_view field) const;
  void Write(uint64_t va, const void* data, size_t size);
  void Write64(uint64_t va, uint64_t value) { Write(va, &value, 8); }
  void WriteField(uint64_t object, std::string_view type, std::string_view field, uint64_t value);
  kdump::Header64& header() { return header_; }
  std::vector<std::byte>& ram() { return ram_; }

  // A dump file of this type (1, 5 or 6; bitmap dumps leave out pages that are all zero) in a temporary
  // folder.
  std::string Save(kdump::DumpType type) const;
  std::vector<std::byte> Bytes(kdump::DumpType type) const;
  const std::string& folder() const { return folder_; }
  ~SyntheticMachine();

  static std::string ImagePath();
  static std::string ImageFolder();

 private:
  void MapPages();
  void FillLists();
  void Link(uint64_t head, const std::vector<uint64_t>& entries);
  void WriteName(int slot, std::string_view name, uint64_t unicode_string);

  std::string folder_;
  std::unique_ptr<symbols::Source> symbols_;
  std::vector<std::byte> ram_;
  uint64_t image_size_ = 0;
  kdump::Header64 header_;
};

}  // namespace debug::testing
