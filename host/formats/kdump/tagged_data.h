// Tagged data: what drivers' bug check callbacks have added behind the pages of a dump. A file header, then
// blocks.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/span_reader.h"

namespace kdump {

struct TaggedBlock {
  std::array<uint8_t, 16> tag{};
  base::Bytes bytes;
};

// The blocks of `area`, which begins behind the last page; none where no file header is there. A block that
// is cut off ends the list.
std::vector<TaggedBlock> ParseTaggedData(base::Bytes area);

// {12345678-9ABC-DEF0-0102-030405060708}
std::string TagText(const std::array<uint8_t, 16>& tag);

}  // namespace kdump
