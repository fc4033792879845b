// Writes a crash dump in Microsoft's 64-bit format straight from guest RAM. What the guest says (header,
// bitmap) is checked against the RAM that exists; untouched memory becomes a hole in the file.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "boot/control.h"
#include "boot/guest_ram.h"

namespace dump {

enum class DumpType : uint32_t {
  kFull = 1,    // all pages of the header's memory runs
  kKernel = 5,  // the pages of the guest's bitmap
};

struct DumpStatistics {
  DumpType type;  // kFull also when a kernel dump was asked for and the guest gave no bitmap
  uint64_t pages = 0;
  uint64_t bytes = 0;  // file size
};

// Writes to a temporary file beside `path` and renames it at the end: after an error nothing is left.
base::Result<DumpStatistics> WriteDump(const boot::GuestRam& ram, const boot::DumpDescription& description,
                                       DumpType type, const std::string& path);

// `to` becomes the same dump as `from`, as cheaply as the file systems allow: hard link, shared extents,
// copy.
base::Result<void> DuplicateDump(const std::string& from, const std::string& to);

}  // namespace dump
