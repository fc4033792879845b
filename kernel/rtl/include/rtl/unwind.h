// x64 stack unwinding by .pdata and .xdata, on live memory: the pure part, compiled for the host too, where
// it is checked against the debugger's unwinder. Takes no lock, allocates nothing, reads the stack only
// within bounds.
#pragma once

#include <stdint.h>

namespace rtl {

struct RuntimeFunction {  // an entry of .pdata
  uint32_t begin;
  uint32_t end;
  uint32_t unwind_info;  // bit 0: the address of another entry
};

struct alignas(16) XmmValue {
  uint64_t low, high;
};

// The registers that unwinding changes, where CONTEXT has them.
struct UnwindRegisters {
  uint64_t* gpr;  // rax rcx rdx rbx rsp rbp rsi rdi r8..r15 rip
  XmmValue* xmm;  // 16
  // Where each saved value was found, or null: as KNONVOLATILE_CONTEXT_POINTERS orders them.
  XmmValue** xmm_places;
  uint64_t** gpr_places;

  uint64_t& rsp() const { return gpr[4]; }
  uint64_t& rip() const { return gpr[16]; }
};

struct StackBounds {
  uint64_t low, high;  // [low, high)
};
inline constexpr StackBounds kAnyStack = {0, ~0ull};

struct UnwindResult {
  uint64_t establisher;  // what a handler of this frame gets
  uint64_t handler;      // address of the language handler asked for, 0 if none applies
  const void* handler_data;
  bool machine_frame;  // the caller was interrupted, it did not call
};

inline constexpr uint32_t kUnwindFlagException = 1, kUnwindFlagUnwind = 2, kUnwindFlagChained = 4;

// The entry of `rva`, indirections followed; null for a leaf function. `table` is sorted.
const RuntimeFunction* FindFunction(uint64_t image_base, const RuntimeFunction* table, uint32_t count,
                                    uint32_t rva);

// Leaves the function of `function` that executes at `pc`. `handler_flags`: kUnwindFlag... of handlers asked
// for, 0 for none. `after_call`: pc is a return address, so that no epilogue can have begun. False: the stack
// or the unwind data is not to be trusted.
bool UnwindFunction(uint64_t image_base, uint64_t pc, const RuntimeFunction* function, uint32_t handler_flags,
                    bool after_call, StackBounds bounds, const UnwindRegisters& registers,
                    UnwindResult* result);

// Leaves a leaf function: the return address is at rsp.
bool UnwindLeaf(StackBounds bounds, const UnwindRegisters& registers);

}  // namespace rtl
