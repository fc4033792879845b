// Driver images as untrusted bytes: every read is bounded by the file (or the view of the mapped image),
// every sum is made in 64 bits. No allocation, no kernel calls; also compiled, tested and fuzzed on the host.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace mm {

enum class ImageError : uint8_t {
  kNone,
  kNotMz,             // no DOS header
  kNe,                // a 16-bit image
  kX86,               // 32-bit x86
  kInvalid,           // anything else that cannot be loaded: the reason says what
  kChecksumMismatch,  // the header's checksum is not the file's
  kBadRelocations,
};

struct ImageBytes {
  const uint8_t* data;
  uint64_t size;
};

struct DataDirectory {
  uint32_t rva;
  uint32_t size;
};
enum DirectoryIndex : uint32_t {
  kExportDirectory = 0,
  kImportDirectory = 1,
  kExceptionDirectory = 3,
  kRelocationDirectory = 5,
  kTlsDirectory = 9,
  kLoadConfigDirectory = 10,
  kDirectoryCount = 16,
};

// Section characteristics.
inline constexpr uint32_t kSectionDiscardable = 0x02000000;
inline constexpr uint32_t kSectionNotPaged = 0x08000000;
inline constexpr uint32_t kSectionExecute = 0x20000000;
inline constexpr uint32_t kSectionWrite = 0x80000000;

struct SectionHeader {
  char name[9];  // always terminated
  uint32_t rva;
  uint32_t virtual_size;  // never 0
  uint32_t raw_offset;
  uint32_t raw_size;  // at most virtual_size rounded up to pages; the rest of the section is zero
  uint32_t characteristics;
};
inline constexpr uint32_t kMaxSections = 96;

struct ImageInfo {
  uint64_t preferred_base;
  uint32_t entry_rva;  // 0: none
  uint32_t size_of_image;
  uint32_t size_of_headers;
  uint32_t checksum;
  uint32_t time_date_stamp;
  uint32_t section_count;
  bool relocations_stripped;
  DataDirectory directories[kDirectoryCount];
  SectionHeader sections[kMaxSections];
};

// The headers only: for an image that is already mapped.
ImageError ParseHeaders(ImageBytes image, ImageInfo* info, const char** reason);

// A whole file, with everything that can be checked before mapping: machine, subsystem, sections inside file
// and image, entry point, directories, TLS (refused), checksum. *reason: why not, a constant text.
ImageError ParseImage(ImageBytes file, ImageInfo* info, const char** reason);

// The headers of a program or of a library of programs, whose file has that many bytes: what can be checked
// before it is mapped.
ImageError ParseProgram(ImageBytes headers, uint64_t file_size, ImageInfo* info, const char** reason);

// The PE checksum of a file.
uint32_t ImageChecksum(ImageBytes file, uint64_t checksum_offset);

// A mapped image. `probe`, where set, says whether bytes that lie inside the image can be touched now.
struct ImageView {
  uint8_t* base;
  uint64_t size;
  bool (*probe)(const void* address, uint64_t size) = nullptr;

  // Address of `count` bytes at `rva`, nullptr where they are not all inside.
  uint8_t* At(uint64_t rva, uint64_t count) const {
    if (rva > size || count > size - rva) return nullptr;
    if (probe != nullptr && !probe(base + rva, count)) return nullptr;
    return base + rva;
  }
  template <typename T>
  bool Read(uint64_t rva, T* value) const {
    const uint8_t* at = At(rva, sizeof(T));
    if (at == nullptr) return false;
    __builtin_memcpy(value, at, sizeof(T));
    return true;
  }
  template <typename T>
  bool Write(uint64_t rva, T value) const {
    uint8_t* at = At(rva, sizeof(T));
    if (at == nullptr) return false;
    __builtin_memcpy(at, &value, sizeof(T));
    return true;
  }
  // A terminated string of at most `limit` bytes without its zero; nullptr: not terminated inside.
  const char* String(uint64_t rva, uint64_t limit) const;
};
inline constexpr uint64_t kMaxExportName = 512;

// Adds `delta` to all that the relocation table names.
ImageError Relocate(ImageView view, DataDirectory directory, uint64_t delta);

struct ExportResult {
  uint32_t rva = 0;                 // 0: not found, or a forwarder
  const char* forwarder = nullptr;  // "library.name" or "library.#ordinal"
};
ExportResult FindExportByName(ImageView view, DataDirectory directory, const char* name);
ExportResult FindExportByOrdinal(ImageView view, DataDirectory directory, uint32_t ordinal);

// What a load-config directory asks the loader to fill in; RVAs, 0 = absent.
struct LoadConfig {
  uint32_t security_cookie;
  uint32_t guard_check;
  uint32_t guard_dispatch;
};
// `base`: the address that the view's relocated pointers assume.
LoadConfig ReadLoadConfig(ImageView view, DataDirectory directory, uint64_t base);

struct ImportThunk {
  const char* name;  // nullptr: by ordinal
  uint32_t ordinal;
  uint32_t slot_rva;  // of the address-table entry
};

// Visits every import: visitor.Library(name), then visitor.Import(thunk) for each of its thunks. Both return
// false to stop. kInvalid for a table that leads outside the image.
template <typename Visitor>
ImageError ForEachImport(ImageView view, DataDirectory directory, Visitor& visitor) {
  struct Descriptor {
    uint32_t lookup_table;
    uint32_t time_date_stamp;
    uint32_t forwarder_chain;
    uint32_t name;
    uint32_t address_table;
  };
  constexpr uint64_t kMaxDescriptors = 1024;
  constexpr uint64_t kMaxThunks = 65536;
  constexpr uint64_t kByOrdinal = 1ull << 63;
  if (directory.rva == 0) return ImageError::kNone;
  for (uint64_t i = 0; i < kMaxDescriptors; ++i) {
    Descriptor descriptor;
    if (!view.Read(directory.rva + i * sizeof(descriptor), &descriptor)) return ImageError::kInvalid;
    if (descriptor.name == 0 || descriptor.address_table == 0) return ImageError::kNone;
    const char* library = view.String(descriptor.name, 255);
    if (library == nullptr) return ImageError::kInvalid;
    if (!visitor.Library(library)) return ImageError::kNone;
    const uint64_t lookup = descriptor.lookup_table != 0 ? descriptor.lookup_table : descriptor.address_table;
    uint64_t entry = 0;
    for (uint64_t n = 0;; ++n) {
      if (n == kMaxThunks || !view.Read(lookup + n * 8, &entry)) return ImageError::kInvalid;
      if (entry == 0) break;
      ImportThunk thunk = {nullptr, static_cast<uint32_t>(entry & 0xFFFF),
                           static_cast<uint32_t>(descriptor.address_table + n * 8)};
      if (view.At(descriptor.address_table + n * 8, 8) == nullptr) return ImageError::kInvalid;
      if ((entry & kByOrdinal) == 0) {
        thunk.name = view.String((entry & 0x7FFFFFFF) + 2, kMaxExportName);
        if (thunk.name == nullptr || thunk.name[0] == 0) return ImageError::kInvalid;
      }
      if (!visitor.Import(thunk)) return ImageError::kNone;
    }
  }
  return ImageError::kInvalid;
}

}  // namespace mm
