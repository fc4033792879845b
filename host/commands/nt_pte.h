// Page-table entries in words.
#pragma once

#include <cstdint>
#include <string>

#include "commands/nt_kernel.h"

namespace nt {

// Where the PTEs lie in the self-map.
uint64_t PteBase(Kernel& kernel);
// The virtual address of the entry of `level` (0 PXE ... 3 PTE) for `address`.
uint64_t EntryAddress(uint64_t pte_base, uint64_t address, int level);
// "pfn 1109      ---DA--KWEV", "not valid: transition, pfn 12".
std::string EntryText(Kernel& kernel, uint64_t entry, int level, uint64_t page_size);

enum class PageState : uint8_t { kValid, kTransition, kDemandZero, kPrototype, kNotPresent };
PageState StateOf(Kernel& kernel, uint64_t address);
const char* PageStateText(PageState state);

}  // namespace nt
