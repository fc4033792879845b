// Plays winload's part: writes kernel, page tables, boot files, control area and loader block into guest RAM,
// so that the PVH stub only has to switch to long mode and jump.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/span_reader.h"
#include "boot/control.h"
#include "boot/guest_ram.h"
#include "boot/loader_block.h"

namespace boot {

struct BootFileBytes {
  std::string name;  // at most 31 characters
  base::Bytes bytes;
};

struct LoaderOptions {
  base::Bytes kernel;  // the file's bytes
  std::vector<BootFileBytes> files;
  uint32_t processors = 1;
  Accelerator accelerator = Accelerator::kTcg;
  uint32_t build_number = 22621;
  uint32_t verifier_flags = 0;
  std::string machine_name = "BUGCHECK";
  std::string options;
  bool pci = false;  // the machine has PCI devices
};

struct LoadedMachine {
  uint64_t control_physical = 0;
  uint64_t loader_block_physical = 0;
  uint64_t root = 0;  // CR3
  uint64_t kernel_physical = 0;
  uint64_t kernel_base = 0;
  uint64_t entry = 0;
};

// Fills `ram`, which is zeroed. The errors name the kernel or the boot file that is at fault.
base::Result<LoadedMachine> LoadMachine(GuestRam& ram, const LoaderOptions& options);

}  // namespace boot
