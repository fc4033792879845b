// The container of a PDB (Multi-Stream File 7.00): streams scattered over fixed-size blocks.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "base/span_reader.h"

namespace pdb {

class Msf {
 public:
  // Keeps the span. Checks that every block lies in the file and that the streams together are no larger than
  // the file.
  static base::Result<Msf> Parse(base::Bytes file);

  size_t stream_count() const { return streams_.size(); }
  // The stream's bytes; empty for a missing one. In place where its blocks are consecutive, else put together
  // once.
  base::Bytes Stream(uint32_t index) const;

 private:
  struct StreamInfo {
    uint32_t size = 0;
    std::vector<uint32_t> blocks;
    mutable std::unique_ptr<std::vector<std::byte>> joined;
  };

  base::Bytes file_;
  uint32_t block_size_ = 0;
  std::vector<StreamInfo> streams_;
};

}  // namespace pdb
