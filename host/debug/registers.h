// The registers of one processor or one stack frame.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "formats/kdump/layout.h"

namespace debug {

// Numbers as the processor encodes them.
enum Reg : uint8_t {
  kRax = 0,
  kRcx,
  kRdx,
  kRbx,
  kRsp,
  kRbp,
  kRsi,
  kRdi,
  kR8,
  kR9,
  kR10,
  kR11,
  kR12,
  kR13,
  kR14,
  kR15,
};

struct Registers {
  std::array<uint64_t, 16> gpr{};
  uint64_t rip = 0;
  uint32_t eflags = 0;
  uint16_t cs = 0, ss = 0, ds = 0, es = 0, fs = 0, gs = 0;
  std::array<kdump::Xmm, 16> xmm{};
  // Which values are real: bit n = gpr[n]. After unwinding through a call the volatile registers are not
  // known.
  uint16_t known = 0;
  uint16_t xmm_known = 0;

  uint64_t rsp() const { return gpr[kRsp]; }
  uint64_t rbp() const { return gpr[kRbp]; }
  bool IsKnown(uint8_t reg) const { return (known >> reg & 1) != 0; }
  void Set(uint8_t reg, uint64_t value) {
    gpr[reg] = value;
    known |= static_cast<uint16_t>(1u << reg);
  }
  // "rax", "eax", "al", "r8d", "rip", "efl", "cs" ...; nothing for unknown names and unknown values.
  std::optional<uint64_t> ByName(std::string_view name) const;
};

// "rax" for 0, "xmm3" for 19.
std::string_view RegisterName(uint8_t reg);

// Everything in `context` counts as known.
Registers FromContext(const kdump::ContextX64& context);

}  // namespace debug
