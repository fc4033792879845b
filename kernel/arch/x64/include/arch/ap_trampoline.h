// The start of the other processors: code to copy to kTrampolinePhysical and the parameters behind it.
#pragma once

#include <stdint.h>

namespace arch {
inline constexpr uint64_t kTrampolinePhysical = 0x8000;
struct ApParameters {
  uint64_t cr3;
  uint64_t entry;   // void (uint32_t apic_id)
  uint64_t stacks;  // table of initial stack pointers, by APIC identifier
  uint64_t count;   // entries of the table; identifiers beyond it halt
};
}  // namespace arch

extern "C" const uint8_t KiApTrampoline[], KiApTrampolineParameters[], KiApTrampolineEnd[];
