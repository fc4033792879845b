// The PE parser on hostile bytes: whatever it accepts must be usable to the end, and mapping must stay in its
// image.
#include <cstddef>
#include <cstdint>

#include "formats/pe/image.h"

namespace {

void UseAll(const pe::Image& image) {
  (void)image.Exports();
  (void)image.ExportName();
  (void)image.Imports();
  (void)image.RuntimeFunctions();
  (void)image.Relocations();
  (void)image.DebugRecord();
  (void)image.StringAt(image.headers().size_of_image - 1);
  (void)image.At(0xFFFFFFFF, 0xFFFFFFFF);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const base::Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
  (void)pe::ParseHeaders(bytes);
  (void)pe::ParseCodeView(bytes);
  const auto mapped_view = pe::Image::Parse(bytes, pe::Layout::kMapped);
  if (mapped_view) UseAll(*mapped_view);
  const auto file = pe::Image::Parse(bytes, pe::Layout::kFile);
  if (!file) return 0;
  UseAll(*file);
  (void)file->ComputeChecksum();
  // An image may claim gigabytes; mapping that much only tests the allocator.
  if (file->headers().size_of_image > (16u << 20)) return 0;
  auto mapped = pe::MapImage(*file);
  if (mapped) (void)pe::Relocate(*mapped, file->headers(), 0xFFFFF80312340000);
  return 0;
}
