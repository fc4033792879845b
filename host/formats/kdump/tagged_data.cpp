#include "formats/kdump/tagged_data.h"

#include <cstdio>

namespace kdump {

namespace {

constexpr uint32_t kDump = 0x706D7544, kBlob = 0x626F6C42;  // "DumpBlob"

struct FileHeader {
  uint32_t signature[2];
  uint32_t header_size;
  uint32_t build;
};
struct BlockHeader {
  uint32_t header_size;
  std::array<uint8_t, 16> tag;
  uint32_t data_size;
  uint32_t pre_pad;
  uint32_t post_pad;
};
static_assert(sizeof(FileHeader) == 0x10 && sizeof(BlockHeader) == 0x20);

}  // namespace

std::vector<TaggedBlock> ParseTaggedData(base::Bytes area) {
  std::vector<TaggedBlock> blocks;
  const base::SpanReader reader(area);
  const auto file = reader.Get<FileHeader>(0);
  if (!file || file->signature[0] != kDump || file->signature[1] != kBlob ||
      file->header_size < sizeof(FileHeader)) {
    return blocks;
  }
  for (uint64_t at = file->header_size;;) {
    const auto header = reader.Get<BlockHeader>(at);
    if (!header || header->header_size < sizeof(BlockHeader)) return blocks;
    const uint64_t data = at + header->header_size + header->pre_pad;
    const auto bytes = reader.Slice(data, header->data_size);
    if (!bytes) return blocks;
    blocks.push_back({header->tag, *bytes});
    at = data + header->data_size + header->post_pad;
  }
}

std::string TagText(const std::array<uint8_t, 16>& t) {
  char text[40];
  std::snprintf(text, sizeof text, "{%02X%02X%02X%02X-%02X%02X-%02X%02X-%02X%02X-%02X%02X%02X%02X%02X%02X}",
                t[3], t[2], t[1], t[0], t[5], t[4], t[7], t[6], t[8], t[9], t[10], t[11], t[12], t[13], t[14],
                t[15]);
  return text;
}

}  // namespace kdump
