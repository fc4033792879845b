#include "mm/image_parser.h"

namespace mm {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint16_t kMachineAmd64 = 0x8664;
constexpr uint16_t kMachineI386 = 0x14C;
constexpr uint16_t kRelocationsStripped = 0x0001;
constexpr uint16_t kExecutableImage = 0x0002;
constexpr uint16_t kSubsystemNative = 1, kSubsystemConsole = 3;
constexpr uint64_t kMaxImageSize = 128ull << 20;
constexpr uint64_t kFileHeaderSize = 24;  // with the signature
constexpr uint64_t kOptionalFixed = 112;  // up to the directories
constexpr uint64_t kChecksumInOptional = 64;
constexpr uint64_t kSectionHeaderSize = 40;

template <typename T>
bool ReadAt(ImageBytes bytes, uint64_t offset, T* value) {
  if (offset > bytes.size || sizeof(T) > bytes.size - offset) return false;
  __builtin_memcpy(value, bytes.data + offset, sizeof(T));
  return true;
}

ImageError Invalid(const char** reason, const char* text) {
  *reason = text;
  return ImageError::kInvalid;
}

uint64_t RoundUp(uint64_t value, uint64_t unit) {
  return (value + unit - 1) & ~(unit - 1);
}
bool IsPowerOfTwo(uint64_t value) {
  return value != 0 && (value & (value - 1)) == 0;
}

struct Offsets {
  uint64_t optional;
  uint64_t sections;
};

ImageError CheckMachine(ImageBytes image, uint64_t nt, const char** reason) {
  uint32_t signature = 0;
  uint16_t machine = 0;
  if (!ReadAt(image, nt, &signature)) return Invalid(reason, "the PE header lies outside the file");
  if ((signature & 0xFFFF) == 0x454E) {
    *reason = "a 16-bit image";
    return ImageError::kNe;
  }
  if (signature != 0x00004550) return Invalid(reason, "no PE signature");
  if (!ReadAt(image, nt + 4, &machine)) return Invalid(reason, "the file ends in its headers");
  if (machine == kMachineI386) {
    *reason = "an image for 32-bit x86; this machine is x64";
    return ImageError::kX86;
  }
  if (machine == 0xAA64) return Invalid(reason, "an image for ARM64; this machine is x64");
  if (machine != kMachineAmd64)
    return Invalid(reason, "an image for another kind of machine; this one is x64");
  return ImageError::kNone;
}

ImageError ReadOptionalHeader(ImageBytes image, uint64_t optional, uint64_t optional_size, bool program,
                              ImageInfo* info, const char** reason) {
  uint16_t magic = 0;
  uint32_t section_alignment = 0;
  uint32_t directory_count = 0;
  uint16_t subsystem = 0;
  if (optional_size < kOptionalFixed || !ReadAt(image, optional + kOptionalFixed - 4, &directory_count)) {
    return Invalid(reason, "the file ends in its headers");
  }
  ReadAt(image, optional, &magic);
  if (magic != 0x20B) return Invalid(reason, "not a PE32+ image");
  ReadAt(image, optional + 16, &info->entry_rva);
  ReadAt(image, optional + 24, &info->preferred_base);
  ReadAt(image, optional + 32, &section_alignment);
  ReadAt(image, optional + 56, &info->size_of_image);
  ReadAt(image, optional + 60, &info->size_of_headers);
  ReadAt(image, optional + kChecksumInOptional, &info->checksum);
  ReadAt(image, optional + 68, &subsystem);
  if (!IsPowerOfTwo(section_alignment) || section_alignment < kPage) {
    return Invalid(reason, "sections are not aligned to pages");
  }
  if (info->size_of_image == 0 || info->size_of_image > kMaxImageSize) {
    return Invalid(reason, "the size of the image is 0 or over 128 MiB");
  }
  if (program && (subsystem < kSubsystemNative || subsystem > kSubsystemConsole))
    return Invalid(reason, "for none of the subsystems of programs");
  if (!program && subsystem != kSubsystemNative)
    return Invalid(reason, "not for the native subsystem: a program, not a driver");
  if (directory_count > kDirectoryCount || optional_size < kOptionalFixed + 8ull * directory_count) {
    return Invalid(reason, "too many data directories");
  }
  for (uint32_t i = 0; i < directory_count; ++i) {
    if (!ReadAt(image, optional + kOptionalFixed + 8ull * i, &info->directories[i])) {
      return Invalid(reason, "the file ends in its headers");
    }
  }
  return ImageError::kNone;
}

ImageError ReadSections(ImageBytes image, uint64_t at, ImageInfo* info, const char** reason) {
  for (uint32_t i = 0; i < info->section_count; ++i, at += kSectionHeaderSize) {
    SectionHeader& section = info->sections[i];
    if (at > image.size || kSectionHeaderSize > image.size - at) {
      return Invalid(reason, "the file ends in its section headers");
    }
    __builtin_memcpy(section.name, image.data + at, 8);
    section.name[8] = 0;
    ReadAt(image, at + 8, &section.virtual_size);
    ReadAt(image, at + 12, &section.rva);
    ReadAt(image, at + 16, &section.raw_size);
    ReadAt(image, at + 20, &section.raw_offset);
    ReadAt(image, at + 36, &section.characteristics);
    if (section.virtual_size == 0) section.virtual_size = section.raw_size;
  }
  return ImageError::kNone;
}

ImageError ParseHeadersAt(ImageBytes image, bool program, ImageInfo* info, Offsets* offsets,
                          const char** reason) {
  *info = {};
  *reason = "";
  uint16_t mz = 0;
  uint32_t nt = 0;
  if (!ReadAt(image, 0, &mz) || mz != 0x5A4D || !ReadAt(image, 60, &nt)) {
    *reason = "not an executable image (no MZ header)";
    return ImageError::kNotMz;
  }
  if (nt % 4 != 0) return Invalid(reason, "the PE header is not aligned");
  const ImageError machine = CheckMachine(image, nt, reason);
  if (machine != ImageError::kNone) return machine;
  uint16_t sections = 0;
  uint16_t optional_size = 0;
  uint16_t characteristics = 0;
  if (!ReadAt(image, nt + 22ull, &characteristics)) return Invalid(reason, "the file ends in its headers");
  ReadAt(image, nt + 6ull, &sections);
  ReadAt(image, nt + 8ull, &info->time_date_stamp);
  ReadAt(image, nt + 20ull, &optional_size);
  if ((characteristics & kExecutableImage) == 0)
    return Invalid(reason, "the linker did not mark it as executable");
  if (sections == 0 || sections > kMaxSections) return Invalid(reason, "no sections, or more than 96");
  info->section_count = sections;
  info->relocations_stripped = (characteristics & kRelocationsStripped) != 0;
  offsets->optional = nt + kFileHeaderSize;
  offsets->sections = offsets->optional + optional_size;
  const ImageError optional =
      ReadOptionalHeader(image, offsets->optional, optional_size, program, info, reason);
  if (optional != ImageError::kNone) return optional;
  return ReadSections(image, offsets->sections, info, reason);
}

ImageError CheckSections(ImageBytes file, uint64_t headers_end, ImageInfo* info, const char** reason) {
  if (info->size_of_headers < headers_end || info->size_of_headers > file.size) {
    return Invalid(reason, "the size of the headers is wrong, or the file is cut");
  }
  uint64_t end = RoundUp(info->size_of_headers, kPage);
  for (uint32_t i = 0; i < info->section_count; ++i) {
    SectionHeader& section = info->sections[i];
    if (section.rva % kPage != 0 || section.rva < end)
      return Invalid(reason, "sections overlap or are not aligned");
    end = section.rva + RoundUp(section.virtual_size, kPage);
    if (end > RoundUp(info->size_of_image, kPage)) return Invalid(reason, "a section lies outside the image");
    if (section.raw_size != 0 &&
        (section.raw_offset > file.size || section.raw_size > file.size - section.raw_offset)) {
      return Invalid(reason, "the file is cut: a section's bytes are missing");
    }
    const uint64_t room = RoundUp(section.virtual_size, kPage);
    if (section.raw_size > room) section.raw_size = static_cast<uint32_t>(room);
  }
  return ImageError::kNone;
}

const SectionHeader* SectionOf(const ImageInfo& info, uint64_t rva) {
  for (uint32_t i = 0; i < info.section_count; ++i) {
    const SectionHeader& section = info.sections[i];
    if (rva >= section.rva && rva - section.rva < section.virtual_size) return &section;
  }
  return nullptr;
}

ImageError CheckEntry(const ImageInfo& info, const char** reason) {
  if (info.entry_rva == 0) return ImageError::kNone;
  const SectionHeader* section = SectionOf(info, info.entry_rva);
  if (section == nullptr || (section->characteristics & kSectionExecute) == 0) {
    return Invalid(reason, "the entry point lies in no executable section");
  }
  return ImageError::kNone;
}

ImageError CheckContents(const ImageInfo& info, const char** reason) {
  const ImageError entry = CheckEntry(info, reason);
  if (entry != ImageError::kNone) return entry;
  if (info.directories[kTlsDirectory].rva != 0) {
    return Invalid(reason, "it uses thread-local storage, which drivers cannot");
  }
  if (info.relocations_stripped) return Invalid(reason, "its relocations were stripped");
  constexpr uint32_t kChecked[] = {kExportDirectory, kImportDirectory, kExceptionDirectory,
                                   kRelocationDirectory, kLoadConfigDirectory};
  for (const uint32_t index : kChecked) {
    const DataDirectory& directory = info.directories[index];
    if (static_cast<uint64_t>(directory.rva) + directory.size > info.size_of_image) {
      return Invalid(reason, "a data directory lies outside the image");
    }
  }
  return ImageError::kNone;
}

}  // namespace

ImageError ParseHeaders(ImageBytes image, ImageInfo* info, const char** reason) {
  Offsets offsets;
  return ParseHeadersAt(image, false, info, &offsets, reason);
}

ImageError ParseImage(ImageBytes file, ImageInfo* info, const char** reason) {
  Offsets offsets;
  ImageError error = ParseHeadersAt(file, false, info, &offsets, reason);
  if (error != ImageError::kNone) return error;
  error = CheckSections(file, offsets.sections + kSectionHeaderSize * info->section_count, info, reason);
  if (error != ImageError::kNone) return error;
  error = CheckContents(*info, reason);
  if (error != ImageError::kNone) return error;
  if (info->checksum != 0 && ImageChecksum(file, offsets.optional + kChecksumInOptional) != info->checksum) {
    *reason = "the checksum in its header is not the file's: it was changed or damaged";
    return ImageError::kChecksumMismatch;
  }
  return ImageError::kNone;
}

ImageError ParseProgram(ImageBytes headers, uint64_t file_size, ImageInfo* info, const char** reason) {
  Offsets offsets;
  ImageError error = ParseHeadersAt(headers, true, info, &offsets, reason);
  if (error != ImageError::kNone) return error;
  const uint64_t end = offsets.sections + kSectionHeaderSize * info->section_count;
  if (info->size_of_headers > headers.size) return Invalid(reason, "headers of more than a page");
  error = CheckSections({headers.data, file_size}, end, info, reason);
  return error != ImageError::kNone ? error : CheckEntry(*info, reason);
}

uint32_t ImageChecksum(ImageBytes file, uint64_t checksum_offset) {
  // Sixteen-bit words with end-around carry, the field itself as zero, plus the length. Words may be added in
  // any grouping, so four at a time.
  uint64_t sum = 0;
  uint64_t i = 0;
  for (; i + 4 <= file.size; i += 4) {
    uint32_t word = 0;
    __builtin_memcpy(&word, file.data + i, 4);
    if (i == checksum_offset) continue;
    sum += (word & 0xFFFF) + (word >> 16);
  }
  for (; i < file.size; ++i) sum += static_cast<uint64_t>(file.data[i]) << (8 * (i % 2));
  while (sum >> 16 != 0) sum = (sum & 0xFFFF) + (sum >> 16);
  return static_cast<uint32_t>(sum + file.size);
}

const char* ImageView::String(uint64_t rva, uint64_t limit) const {
  for (uint64_t i = 0; i <= limit; ++i) {
    // One probe for the first byte and one for each page after it.
    const uint64_t at = rva + i;
    const bool check = probe != nullptr && (i == 0 || reinterpret_cast<uintptr_t>(base + at) % kPage == 0);
    if (at >= size || (check && !probe(base + at, 1))) return nullptr;
    if (base[at] == 0) return reinterpret_cast<const char*>(base + rva);
  }
  return nullptr;
}

ImageError Relocate(ImageView view, DataDirectory directory, uint64_t delta) {
  constexpr uint16_t kAbsolute = 0;
  constexpr uint16_t kDir64 = 10;
  if (directory.rva == 0 || directory.size == 0) return ImageError::kNone;
  const uint64_t end = static_cast<uint64_t>(directory.rva) + directory.size;
  for (uint64_t block = directory.rva; block + 8 <= end;) {
    uint32_t page = 0;
    uint32_t size = 0;
    if (!view.Read(block, &page) || !view.Read(block + 4, &size)) return ImageError::kBadRelocations;
    if (page == 0 && size == 0) break;  // padding at the end
    if (size < 8 || size % 2 != 0 || size > end - block) return ImageError::kBadRelocations;
    for (uint64_t at = block + 8; at < block + size; at += 2) {
      uint16_t entry = 0;
      if (!view.Read(at, &entry)) return ImageError::kBadRelocations;
      const uint16_t type = entry >> 12;
      if (type == kAbsolute) continue;
      const uint64_t target = static_cast<uint64_t>(page) + (entry & 0xFFF);
      uint64_t value = 0;
      if (type != kDir64 || !view.Read(target, &value)) return ImageError::kBadRelocations;
      view.Write(target, value + delta);
    }
    block += size;
  }
  return ImageError::kNone;
}

namespace {

struct ExportTable {
  uint32_t base;
  uint32_t function_count;
  uint32_t name_count;
  uint32_t functions;
  uint32_t names;
  uint32_t ordinals;
};

bool ReadExportTable(ImageView view, DataDirectory directory, ExportTable* table) {
  return directory.rva != 0 && view.Read(directory.rva + 16ull, table);
}

ExportResult FunctionAt(ImageView view, DataDirectory directory, const ExportTable& table, uint32_t index) {
  ExportResult result;
  uint32_t rva = 0;
  if (index >= table.function_count || !view.Read(table.functions + 4ull * index, &rva)) return result;
  if (rva - directory.rva < directory.size) {
    result.forwarder = view.String(rva, kMaxExportName);
  } else if (rva < view.size) {
    result.rva = rva;
  }
  return result;
}

int Compare(const char* a, const char* b) {
  while (*a != 0 && *a == *b) {
    ++a;
    ++b;
  }
  return static_cast<unsigned char>(*a) - static_cast<unsigned char>(*b);
}

}  // namespace

ExportResult FindExportByName(ImageView view, DataDirectory directory, const char* name) {
  ExportTable table;
  if (!ReadExportTable(view, directory, &table)) return {};
  uint64_t low = 0;
  uint64_t high = table.name_count;
  while (low < high) {
    const uint64_t middle = (low + high) / 2;
    uint32_t name_rva = 0;
    if (!view.Read(table.names + 4 * middle, &name_rva)) return {};
    const char* candidate = view.String(name_rva, kMaxExportName);
    if (candidate == nullptr) return {};
    const int order = Compare(name, candidate);
    if (order == 0) {
      uint16_t index = 0;
      if (!view.Read(table.ordinals + 2 * middle, &index)) return {};
      return FunctionAt(view, directory, table, index);
    }
    if (order < 0) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return {};
}

ExportResult FindExportByOrdinal(ImageView view, DataDirectory directory, uint32_t ordinal) {
  ExportTable table;
  if (!ReadExportTable(view, directory, &table) || ordinal < table.base) return {};
  return FunctionAt(view, directory, table, ordinal - table.base);
}

LoadConfig ReadLoadConfig(ImageView view, DataDirectory directory, uint64_t base) {
  constexpr uint64_t kCookie = 0x58;
  constexpr uint64_t kGuardCheck = 0x70;
  constexpr uint64_t kGuardDispatch = 0x78;
  constexpr uint64_t kGuardFlags = 0x90;
  constexpr uint32_t kGuardInstrumented = 0x100;
  LoadConfig config = {};
  uint32_t size = 0;
  if (directory.rva == 0 || !view.Read(directory.rva, &size)) return config;
  const auto field = [&](uint64_t offset) -> uint32_t {
    uint64_t va = 0;
    if (size < offset + 8 || !view.Read(directory.rva + offset, &va)) return 0;
    const uint64_t rva = va - base;
    return va != 0 && view.At(rva, 8) != nullptr ? static_cast<uint32_t>(rva) : 0;
  };
  config.security_cookie = field(kCookie);
  uint32_t flags = 0;
  if (size >= kGuardFlags + 4 && view.Read(directory.rva + kGuardFlags, &flags) &&
      (flags & kGuardInstrumented) != 0) {
    config.guard_check = field(kGuardCheck);
    config.guard_dispatch = field(kGuardDispatch);
  }
  return config;
}

}  // namespace mm
