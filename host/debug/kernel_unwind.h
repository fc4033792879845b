// For tests: the kernel's unwinder (kernel/rtl/unwind.cpp, compiled for the host) beside the debugger's, on
// live memory.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "debug/registers.h"
#include "rtl/unwind.h"

namespace debug::testing {

struct KernelUnwinder {
  uint64_t base = 0;
  const rtl::RuntimeFunction* table = nullptr;  // .pdata of the image that is mapped at base
  uint32_t count = 0;

  // One step from `from`, which the debugger says leads to `expected`: "" or what the kernel says instead.
  // Volatile registers are nobody's promise, and are left out.
  std::string Compare(const Registers& from, bool after_call, bool machine_frame,
                      const Registers& expected) const {
    Registers own = from;
    uint64_t gpr[17];
    std::memcpy(gpr, own.gpr.data(), 16 * sizeof(uint64_t));
    gpr[16] = own.rip;
    rtl::XmmValue xmm[16];
    static_assert(sizeof(xmm) == sizeof(own.xmm));
    std::memcpy(xmm, own.xmm.data(), sizeof xmm);
    const rtl::UnwindRegisters registers{gpr, xmm, nullptr, nullptr};
    rtl::UnwindResult result{};
    const auto* function = rtl::FindFunction(base, table, count, static_cast<uint32_t>(own.rip - base));
    const bool left = function == nullptr ? rtl::UnwindLeaf(rtl::kAnyStack, registers)
                                          : rtl::UnwindFunction(base, own.rip, function, 0, after_call,
                                                                rtl::kAnyStack, registers, &result);
    if (!left) return "the kernel's unwinder gives up";
    if (result.machine_frame != machine_frame) return "the kernel's unwinder differs about a machine frame";
    if (gpr[16] != expected.rip) return "the kernel's unwinder finds another return address";
    for (const int kept : {3, 4, 5, 6, 7, 12, 13, 14, 15}) {
      if (gpr[kept] != expected.gpr[static_cast<size_t>(kept)])
        return "the kernel's unwinder differs in register " + std::to_string(kept);
    }
    if (std::memcmp(xmm + 6, expected.xmm.data() + 6, 10 * sizeof *xmm) != 0)
      return "the kernel's unwinder differs in a vector register";
    return "";
  }
};

}  // namespace debug::testing
