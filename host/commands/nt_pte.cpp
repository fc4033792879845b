#include "commands/nt_pte.h"

#include <fmt/format.h>

namespace nt {

namespace {

constexpr uint64_t kValid = 1, kFrameMask = 0x000FFFFFFFFFF000;

PageState StateOfEntry(Kernel& kernel, uint64_t entry) {
  if ((entry & kValid) != 0) return PageState::kValid;
  const debug::SoftwarePteBits bits = kernel.memory().software_pte_bits();
  if (bits.prototype != 0 && (entry & bits.prototype) != 0) return PageState::kPrototype;
  if (bits.transition != 0 && (entry & bits.transition) != 0) return PageState::kTransition;
  return entry != 0 ? PageState::kDemandZero : PageState::kNotPresent;
}

}  // namespace

uint64_t PteBase(Kernel& kernel) {
  const auto base = kernel.session().kernel().KdbgU64(kdump::KdDebuggerData::kPteBase);
  return base && *base >> 47 == 0x1FFFF ? *base : 0xFFFFF680'00000000;
}

uint64_t EntryAddress(uint64_t pte_base, uint64_t address, int level) {
  constexpr uint64_t kMask = 0x0000FFFFFFFFFFFF;
  uint64_t entry = address;
  // Each step up the tables is the PTE address of the step below.
  for (int i = 3; i >= level; --i) entry = pte_base + ((entry & kMask) >> 12 << 3);
  return entry;
}

const char* PageStateText(PageState state) {
  switch (state) {
    case PageState::kValid:
      return "valid";
    case PageState::kTransition:
      return "transition";
    case PageState::kDemandZero:
      return "not valid";
    case PageState::kPrototype:
      return "prototype";
    case PageState::kNotPresent:
      break;
  }
  return "not present";
}

std::string EntryText(Kernel& kernel, uint64_t entry, int level, uint64_t page_size) {
  const PageState state = StateOfEntry(kernel, entry);
  if (state != PageState::kValid) {
    return state == PageState::kTransition ? fmt::format("transition pfn {:x}", (entry & kFrameMask) >> 12)
                                           : std::string(PageStateText(state));
  }
  auto flag = [&](unsigned bit, char set, char clear) { return (entry >> bit & 1) != 0 ? set : clear; };
  const bool large = level < 3 && (entry >> 7 & 1) != 0 && page_size > 0x1000;
  std::string flags = "-";
  flags += large ? 'L' : '-';
  flags += flag(8, 'G', '-');
  flags += flag(6, 'D', '-');
  flags += flag(5, 'A', '-');
  flags += flag(4, 'N', '-');
  flags += flag(3, 'T', '-');
  flags += flag(2, 'U', 'K');
  flags += flag(1, 'W', 'R');
  flags += flag(63, '-', 'E');
  flags += 'V';
  return fmt::format("pfn {:<8x} {}", (entry & kFrameMask) >> 12, flags);
}

PageState StateOf(Kernel& kernel, uint64_t address) {
  const debug::Translation walk = kernel.memory().Translate(address);
  if (walk.from_transition) return PageState::kTransition;
  if (walk.valid) return PageState::kValid;
  return walk.levels == 0 ? PageState::kNotPresent : StateOfEntry(kernel, walk.steps[walk.levels - 1].entry);
}

}  // namespace nt
