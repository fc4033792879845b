// PE32+ images: bytes in, values out. Nothing is executed, relocated or kept open; every access is bounded,
// so any bytes are safe input. PE32 (x86) files parse as far as the headers, so that callers can say what is
// wrong with them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/span_reader.h"
#include "formats/guid.h"

namespace pe {

inline constexpr uint16_t kMachineAmd64 = 0x8664;
inline constexpr uint16_t kMachineI386 = 0x14c;
inline constexpr uint16_t kMachineArm64 = 0xaa64;
inline constexpr uint16_t kSubsystemNative = 1;

// IMAGE_SCN_*
inline constexpr uint32_t kSectionCode = 0x20;
inline constexpr uint32_t kSectionDiscardable = 0x02000000;
inline constexpr uint32_t kSectionNotPaged = 0x08000000;
inline constexpr uint32_t kSectionExecute = 0x20000000;
inline constexpr uint32_t kSectionRead = 0x40000000;
inline constexpr uint32_t kSectionWrite = 0x80000000;

enum class Directory : uint8_t {
  kExport = 0,
  kImport = 1,
  kResource = 2,
  kException = 3,
  kSecurity = 4,
  kBaseRelocation = 5,
  kDebug = 6,
  kTls = 9,
  kLoadConfig = 10,
  kImportAddress = 12,
  kDelayImport = 13,
  kClr = 14,
};

struct DataDirectory {
  uint32_t rva = 0;
  uint32_t size = 0;
};

struct Section {
  std::string name;  // at most 8 characters
  uint32_t rva = 0;
  uint32_t virtual_size = 0;
  uint32_t file_offset = 0;
  uint32_t file_size = 0;
  uint32_t characteristics = 0;
  bool Contains(uint32_t address) const { return address >= rva && address - rva < Extent(); }
  uint32_t Extent() const { return virtual_size != 0 ? virtual_size : file_size; }
};

struct Headers {
  uint16_t machine = 0;
  uint16_t characteristics = 0;  // IMAGE_FILE_*: 0x2 executable, 0x2000 DLL
  bool is_pe32_plus = false;
  uint32_t time_date_stamp = 0;
  uint32_t entry_rva = 0;
  uint64_t image_base = 0;
  uint32_t section_alignment = 0;
  uint32_t file_alignment = 0;
  uint32_t size_of_image = 0;
  uint32_t size_of_headers = 0;
  uint32_t checksum = 0;
  uint32_t checksum_offset = 0;  // of the CheckSum field, in the file
  uint16_t subsystem = 0;
  uint16_t dll_characteristics = 0;
  uint16_t subsystem_major = 0;
  uint16_t subsystem_minor = 0;
  std::array<DataDirectory, 16> directories{};
  std::vector<Section> sections;

  const DataDirectory& directory(Directory which) const { return directories[static_cast<size_t>(which)]; }
  const Section* SectionAt(uint32_t rva) const;
  const Section* SectionNamed(std::string_view name) const;
};

struct Export {
  std::string name;       // "" = by ordinal only
  uint32_t ordinal = 0;   // biased (as importers write it)
  uint32_t rva = 0;       // 0 for forwarders
  std::string forwarder;  // "hal.KeStallExecutionProcessor" or "hal.#12"; "" = none
};

struct ImportedSymbol {
  std::string name;      // "" when by ordinal
  uint16_t ordinal = 0;  // when by ordinal, else the hint
  bool by_ordinal = false;
  uint32_t slot_rva = 0;  // of the import address table's 8-byte slot
};

struct ImportedModule {
  std::string name;
  std::vector<ImportedSymbol> symbols;
};

struct RuntimeFunction {
  uint32_t begin = 0;
  uint32_t end = 0;
  uint32_t unwind_info = 0;
};

struct Relocation {
  uint32_t rva = 0;
  uint8_t type = 0;  // IMAGE_REL_BASED_*: 10 = DIR64, 3 = HIGHLOW; type 0 (padding) is never reported
};

struct CodeView {
  formats::DebugId id;
  std::string pdb_path;         // as the linker wrote it
  std::string PdbName() const;  // last component of pdb_path
};

// Which offsets the bytes are at: a file as on disk, or an image as mapped (every section at its RVA).
enum class Layout : uint8_t { kFile, kMapped };

// Only the headers; `bytes` may stop after them (e.g. the first page of an image in memory).
base::Result<Headers> ParseHeaders(base::Bytes bytes);

// The RSDS record itself.
base::Result<CodeView> ParseCodeView(base::Bytes record);

class Image {
 public:
  // Keeps the span, which must outlive it. Errors: not a PE, truncated headers, sections outside a file.
  static base::Result<Image> Parse(base::Bytes bytes, Layout layout);

  const Headers& headers() const { return headers_; }
  base::Bytes bytes() const { return reader_.bytes(); }
  Layout layout() const { return layout_; }

  // The bytes at [rva, rva + size), if all of them are in the data. The zero-filled tail of a section has
  // none in a file.
  std::optional<base::Bytes> At(uint32_t rva, uint32_t size) const;
  std::optional<std::string_view> StringAt(uint32_t rva) const;

  // Each is empty when the image has no such directory; an Error when it has a broken one.
  base::Result<std::vector<Export>> Exports() const;
  base::Result<std::string> ExportName() const;  // the module name in the export directory, "" when none
  base::Result<std::vector<ImportedModule>> Imports() const;
  base::Result<std::vector<RuntimeFunction>> RuntimeFunctions() const;
  base::Result<std::vector<Relocation>> Relocations() const;
  // An Error when there is no RSDS record.
  base::Result<CodeView> DebugRecord() const;

  // The checksum that the header should hold (Layout::kFile only): 16-bit ones' complement sum plus the
  // file's length.
  uint32_t ComputeChecksum() const;

 private:
  Headers headers_;
  base::SpanReader reader_;
  Layout layout_ = Layout::kFile;
};

// The image laid out as the loader maps it: size_of_image bytes, headers and sections at their RVAs, rest
// zero. Fails when a section does not fit. No relocation, no imports.
base::Result<std::vector<std::byte>> MapImage(const Image& file);

// Applies base relocations in place to a mapped image that was linked for `headers.image_base`, for
// `new_base`.
base::Result<void> Relocate(std::span<std::byte> mapped, const Headers& headers, uint64_t new_base);

}  // namespace pe
