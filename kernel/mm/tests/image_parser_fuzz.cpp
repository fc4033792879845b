// libFuzzer target: everything that the loader does with an untrusted file before its code runs.
#include <cstring>
#include <vector>

#include "mm/image_parser.h"

namespace {

struct CountingVisitor {
  mm::ImageView view;
  bool Library(const char* name) { return std::strlen(name) < 256; }
  bool Import(const mm::ImportThunk& thunk) {
    view.Write<uint64_t>(thunk.slot_rva, 0x1122334455667788);
    return true;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static mm::ImageInfo info;
  const char* reason = nullptr;
  const mm::ImageError error = mm::ParseImage({data, size}, &info, &reason);
  if (error != mm::ImageError::kNone && error != mm::ImageError::kChecksumMismatch) return 0;
  if (info.size_of_image > (1u << 20)) return 0;
  std::vector<uint8_t> mapped((info.size_of_image + 4095ull) & ~4095ull);
  std::memcpy(mapped.data(), data, info.size_of_headers);
  for (uint32_t i = 0; i < info.section_count; ++i) {
    const mm::SectionHeader& section = info.sections[i];
    if (section.raw_size != 0) std::memcpy(&mapped[section.rva], data + section.raw_offset, section.raw_size);
  }
  const mm::ImageView view = {mapped.data(), info.size_of_image};
  mm::Relocate(view, info.directories[mm::kRelocationDirectory], 0x12345000);
  mm::ReadLoadConfig(view, info.directories[mm::kLoadConfigDirectory], info.preferred_base);
  CountingVisitor visitor = {view};
  mm::ForEachImport(view, info.directories[mm::kImportDirectory], visitor);
  mm::FindExportByName(view, info.directories[mm::kExportDirectory], "DriverEntry");
  mm::FindExportByOrdinal(view, info.directories[mm::kExportDirectory], 3);
  return 0;
}
