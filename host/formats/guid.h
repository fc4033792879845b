// A GUID as PE debug records and PDBs hold it.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

namespace formats {

struct Guid {
  uint32_t data1 = 0;
  uint16_t data2 = 0;
  uint16_t data3 = 0;
  std::array<uint8_t, 8> data4{};

  bool operator==(const Guid&) const = default;

  // 32 upper-case hexadecimal digits, the form that symbol stores and ISF use.
  std::string ToString() const {
    char text[33];
    std::snprintf(text, sizeof text, "%08X%04X%04X%02X%02X%02X%02X%02X%02X%02X%02X", data1, data2, data3,
                  data4[0], data4[1], data4[2], data4[3], data4[4], data4[5], data4[6], data4[7]);
    return text;
  }

  // The inverse of ToString; nothing when `text` is anything else.
  static std::optional<Guid> Parse(std::string_view text);
};
static_assert(sizeof(Guid) == 16);

// What ties an image to its PDB. In symbol stores: GUID digits followed by the age in hexadecimal, without
// padding.
struct DebugId {
  Guid guid;
  uint32_t age = 0;
  bool operator==(const DebugId&) const = default;
  std::string StoreKey() const;
};

}  // namespace formats
