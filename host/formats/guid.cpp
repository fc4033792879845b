#include "formats/guid.h"

#include <cstddef>

namespace formats {

namespace {
std::optional<uint64_t> HexDigits(std::string_view text) {
  uint64_t value = 0;
  for (char c : text) {
    unsigned digit;
    if (c >= '0' && c <= '9')
      digit = c - '0';
    else if (c >= 'A' && c <= 'F')
      digit = c - 'A' + 10;
    else if (c >= 'a' && c <= 'f')
      digit = c - 'a' + 10;
    else
      return std::nullopt;
    value = value << 4 | digit;
  }
  return value;
}
}  // namespace

std::optional<Guid> Guid::Parse(std::string_view text) {
  if (text.size() != 32) return std::nullopt;
  const auto high = HexDigits(text.substr(0, 16));
  if (!high || !HexDigits(text.substr(16))) return std::nullopt;
  Guid guid;
  guid.data1 = static_cast<uint32_t>(*high >> 32);
  guid.data2 = static_cast<uint16_t>(*high >> 16);
  guid.data3 = static_cast<uint16_t>(*high);
  for (size_t i = 0; i < 8; ++i) guid.data4[i] = static_cast<uint8_t>(*HexDigits(text.substr(16 + 2 * i, 2)));
  return guid;
}

std::string DebugId::StoreKey() const {
  char age_text[9];
  std::snprintf(age_text, sizeof age_text, "%X", age);
  return guid.ToString() + age_text;
}

}  // namespace formats
