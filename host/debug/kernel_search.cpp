#include "debug/kernel_search.h"

#include <bit>
#include <cctype>
#include <cstring>

#include "formats/kdump/layout.h"
#include "formats/pe/image.h"

namespace debug {

namespace {

using kdump::KdDebuggerData;
constexpr uint64_t kMaxImage = 64ull << 20;
constexpr uint32_t kMaxDebuggerData = 0x2000;

std::optional<uint32_t> DebuggerDataSize(base::Bytes head) {
  const base::SpanReader r(head);
  const auto tag = r.Get<uint32_t>(KdDebuggerData::kOwnerTag);
  const auto size = r.Get<uint32_t>(KdDebuggerData::kSizeField);
  if (tag != KdDebuggerData::kTag || !size || *size < 0x100 || *size > kMaxDebuggerData) return std::nullopt;
  return size;
}

void Decode(std::vector<std::byte>& bytes, const EncodingKeys& keys) {
  for (size_t at = 0; at + 8 <= bytes.size(); at += 8) {
    uint64_t value;
    std::memcpy(&value, bytes.data() + at, 8);
    value = std::rotl(value ^ keys.wait_never, static_cast<int>(keys.wait_never & 0x3f));
    value = __builtin_bswap64(value ^ keys.encoded_flag_address) ^ keys.wait_always;
    std::memcpy(bytes.data() + at, &value, 8);
  }
}

}  // namespace

base::Result<uint64_t> FindImageBelow(const VirtualMemory& memory, uint64_t address) {
  const uint64_t start = address & ~(kPageSize - 1);
  for (uint64_t offset = 0; offset < kMaxImage; offset += kPageSize) {
    const uint64_t base = start - offset;
    if (const auto magic = memory.Get<uint16_t>(base); !magic || *magic != 0x5a4d) continue;
    const auto size = ImageSize(memory, base);
    if (size && address - base < *size) return base;
  }
  return base::Fail("no PE image was found around " + FormatAddress(address));
}

std::optional<uint64_t> ImageSize(const VirtualMemory& memory, uint64_t base) {
  std::vector<std::byte> page(kPageSize);
  if (memory.ReadSparse(base, page) == 0) return std::nullopt;
  const auto headers = pe::ParseHeaders(page);
  if (!headers || headers->size_of_image == 0) return std::nullopt;
  return headers->size_of_image;
}

std::optional<std::vector<std::byte>> ReadDebuggerData(const VirtualMemory& memory, uint64_t address) {
  if (!IsCanonical(address)) return std::nullopt;
  const auto head = memory.ReadBytes(address, 0x20);
  if (!head) return std::nullopt;
  const auto size = DebuggerDataSize(*head);
  if (!size) return std::nullopt;
  auto bytes = memory.ReadBytes(address, *size);
  if (!bytes) return std::nullopt;
  return std::move(*bytes);
}

std::optional<std::vector<std::byte>> DecodeDebuggerDataBlock(const VirtualMemory& memory, uint64_t address,
                                                              const EncodingKeys& keys) {
  auto head = memory.ReadBytes(address, 0x20);
  if (!head) return std::nullopt;
  Decode(*head, keys);
  const auto size = DebuggerDataSize(*head);
  if (!size) return std::nullopt;
  auto bytes = memory.ReadBytes(address, *size & ~7u);
  if (!bytes) return std::nullopt;
  Decode(*bytes, keys);
  return std::move(*bytes);
}

std::string ModuleNameOf(std::string_view image_name) {
  std::string name(image_name.substr(0, image_name.rfind('.')));
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_') c = '_';
  }
  return name;
}

}  // namespace debug
