// What is debugged: physical memory plus the dump header. A dump file, or the RAM of a running machine.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "debug/memory.h"
#include "formats/kdump/dump.h"
#include "formats/kdump/tagged_data.h"

namespace debug {

class Target {
 public:
  virtual ~Target() = default;
  virtual const PhysicalMemory& memory() const = 0;
  virtual const kdump::Header64& header() const = 0;
  virtual bool is_live() const = 0;
  virtual bool is_triage() const { return false; }
  virtual std::vector<kdump::VirtualBlock> virtual_blocks() const { return {}; }
  virtual std::vector<kdump::TriageDriver> triage_drivers() const { return {}; }
  virtual std::vector<kdump::TaggedBlock> tagged_data() const { return {}; }
  // "Kernel Bitmap Dump File: /x/MEMORY.DMP", "live machine".
  virtual std::string description() const = 0;
  // "" or one sentence on what is wrong with the file but does not prevent its use.
  virtual std::string warning() const { return ""; }
};

// Maps a dump file of type 1, 4, 5, 6, 8, 9 or A.
base::Result<std::unique_ptr<Target>> OpenDump(const std::string& path);

// The live machine: `ram_fd` is the shared memory file of guest RAM (the fd stays the caller's), where guest
// physical addresses from 4 GiB on continue the file at 3 GiB; `header_physical` is the page where the guest
// keeps its DUMP_HEADER64.
base::Result<std::unique_ptr<Target>> OpenLive(int ram_fd, uint64_t header_physical);

// The same rule, for others who read guest RAM: offset in the file of a physical address; UINT64_MAX in the
// hole.
uint64_t RamFileOffset(uint64_t physical, uint64_t ram_size);

}  // namespace debug
