// Recognition of x64 epilogues by their instructions, as the x64 ABI prescribes them.
#pragma once

#include <cstdint>
#include <functional>

#include "debug/memory.h"
#include "debug/registers.h"

namespace debug {

enum class EpilogueEnd : uint8_t {
  kNone,             // not in an epilogue
  kReturn,           // the return address is at rsp
  kInterruptReturn,  // iretq: a machine frame is at rsp
};

// If the instructions at `ip` are (the rest of) an epilogue - [add rsp,n | lea rsp,[r+n]] pop* (ret | jmp out
// | iretq) - performs them on `registers` up to, but without, the last one and says which it is. Else leaves
// `registers` alone. `is_outside`: does a jump to this address leave the function?
EpilogueEnd FinishEpilogue(const VirtualMemory& memory, uint64_t ip,
                           const std::function<bool(uint64_t)>& is_outside, Registers& registers);

}  // namespace debug
