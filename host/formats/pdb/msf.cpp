#include "formats/pdb/msf.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace pdb {

namespace {

constexpr char kMagic[] =
    "Microsoft C/C++ MSF 7.00\r\n\x1a"
    "DS\0\0";
constexpr size_t kMagicSize = 32;
constexpr uint32_t kNilStream = 0xffffffff;
constexpr uint32_t kMaxStreams = 65536;

bool Consecutive(const std::vector<uint32_t>& blocks) {
  for (size_t i = 1; i < blocks.size(); ++i) {
    if (blocks[i] != blocks[0] + i) return false;
  }
  return true;
}

base::Result<std::vector<std::byte>> ReadDirectory(const base::SpanReader& r, uint32_t block_size,
                                                   uint32_t block_count) {
  const uint32_t size = TRY(r.Read<uint32_t>(44, "the directory's size"));
  const uint32_t map_block = TRY(r.Read<uint32_t>(52, "the directory's block map"));
  const uint64_t blocks = (uint64_t{size} + block_size - 1) / block_size;
  if (size > r.size() || map_block >= block_count || blocks * 4 > uint64_t{block_size} * block_count) {
    return base::Fail("corrupt PDB: the stream directory lies outside the file");
  }
  std::vector<std::byte> directory;
  directory.reserve(size);
  for (uint64_t i = 0; i < blocks; ++i) {
    const auto block = r.Get<uint32_t>(uint64_t{map_block} * block_size + 4 * i);
    if (!block || *block >= block_count)
      return base::Fail("corrupt PDB: the stream directory lies outside the file");
    const auto bytes =
        r.Slice(uint64_t{*block} * block_size, std::min<uint64_t>(block_size, size - directory.size()));
    if (!bytes) return base::Fail("the PDB is cut off inside its stream directory");
    directory.insert(directory.end(), bytes->begin(), bytes->end());
  }
  return directory;
}

}  // namespace

base::Result<Msf> Msf::Parse(base::Bytes file) {
  const base::SpanReader r(file);
  if (file.size() < 56 || std::memcmp(file.data(), kMagic, kMagicSize) != 0)
    return base::Fail("not a PDB (MSF 7.00) file");
  Msf msf;
  msf.file_ = file;
  msf.block_size_ = *r.Get<uint32_t>(32);
  const uint32_t block_count = *r.Get<uint32_t>(40);
  if (!std::has_single_bit(msf.block_size_) || msf.block_size_ < 512 || msf.block_size_ > 65536) {
    return base::Fail("corrupt PDB: block size " + std::to_string(msf.block_size_));
  }
  if (uint64_t{block_count} * msf.block_size_ > file.size()) return base::Fail("the PDB is cut off");
  const std::vector<std::byte> directory = TRY(ReadDirectory(r, msf.block_size_, block_count));
  const base::SpanReader d{base::Bytes(directory)};
  const uint32_t count = TRY(d.Read<uint32_t>(0, "the number of streams"));
  if (count > kMaxStreams || !d.Array(4, count, 4))
    return base::Fail("corrupt PDB: " + std::to_string(count) + " streams");
  msf.streams_.resize(count);
  uint64_t at = 4 + 4ull * count;
  uint64_t total = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t size = *d.Get<uint32_t>(4 + 4ull * i);
    if (size == kNilStream) continue;
    total += size;
    const uint64_t blocks = (uint64_t{size} + msf.block_size_ - 1) / msf.block_size_;
    if (total > file.size() || !d.Array(at, blocks, 4))
      return base::Fail("corrupt PDB: a stream is larger than the file");
    StreamInfo& stream = msf.streams_[i];
    stream.size = size;
    stream.blocks.resize(blocks);
    for (uint64_t b = 0; b < blocks; ++b) {
      stream.blocks[b] = *d.Get<uint32_t>(at + 4 * b);
      if (stream.blocks[b] >= block_count) return base::Fail("corrupt PDB: a stream lies outside the file");
    }
    at += 4 * blocks;
  }
  return msf;
}

base::Bytes Msf::Stream(uint32_t index) const {
  if (index >= streams_.size() || streams_[index].size == 0) return {};
  const StreamInfo& stream = streams_[index];
  if (Consecutive(stream.blocks)) return file_.subspan(uint64_t{stream.blocks[0]} * block_size_, stream.size);
  if (!stream.joined) {
    auto joined = std::make_unique<std::vector<std::byte>>();
    joined->reserve(stream.size);
    for (uint32_t block : stream.blocks) {
      const auto bytes = file_.subspan(uint64_t{block} * block_size_,
                                       std::min<uint64_t>(block_size_, stream.size - joined->size()));
      joined->insert(joined->end(), bytes.begin(), bytes.end());
    }
    stream.joined = std::move(joined);
  }
  return *stream.joined;
}

}  // namespace pdb
