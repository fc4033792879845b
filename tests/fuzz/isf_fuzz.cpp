// The reader of Volatility's ISF on hostile bytes, plain or xz.
#include <cstddef>
#include <cstdint>

#include "formats/isf/isf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const base::Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
  const auto source = isf::OpenBytes(bytes, "fuzz.json");
  if (!source) return 0;
  int left = 200;
  (*source)->ForEachType([&](symbols::TypeId id, const symbols::Type&) {
    for (const symbols::Member& member : (*source)->Members(id)) (void)(*source)->TypeName(member.type);
    return --left > 0;
  });
  (void)(*source)->FindSymbol("KeBugCheckEx");
  return 0;
}
