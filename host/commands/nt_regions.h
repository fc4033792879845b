// What a system address is used for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "commands/nt_kernel.h"

namespace nt {

enum class Usage : uint8_t {
  kUnknown,
  kImage,
  kUnloadedImage,
  kStack,
  kProcessorStack,  // of DPCs
  kProcessor,       // PCR and PRCB
  kNonPagedPool,
  kPagedPool,
  kSpecialPool,
  kPfnDatabase,
  kPageTables,
  kSystemPtes,
  kSharedUserData,
  kUser,
  kNotCanonical,
};

struct AddressUse {
  Usage usage = Usage::kUnknown;
  uint64_t start = 0, end = 0;  // the region around it; end 0 = not known
  const debug::Module* module = nullptr;
  std::string section;  // of an image
  bool executable = false;
  bool pageable = false;
  uint64_t thread = 0;  // whose stack
  std::optional<uint32_t> processor;
};

const char* UsageText(Usage usage);
AddressUse UseOf(Kernel& kernel, uint64_t address);

// The ranges that the kernel keeps for one purpose, as far as its symbols tell.
struct SystemRegion {
  Usage usage;
  uint64_t start, end;
};
std::vector<SystemRegion> SystemRegions(Kernel& kernel);

}  // namespace nt
