// Recognition of x64 epilogues by their instructions, as the x64 ABI prescribes them.
#pragma once

#include <cstdint>
#include <functional>

#include "debug/memory.h"
#include "debug/registers.h"

namespace debug {

// If the instructions at `ip` are (the rest of) an epilogue - [add rsp,n | lea rsp,[r+n]] pop* (ret | jmp
// out) - performs them on `registers` up to, but without, the final ret or jump, and returns true. Else
// leaves `registers` alone. `is_outside`: does a jump to this address leave the function?
bool FinishEpilogue(const VirtualMemory& memory, uint64_t ip, const std::function<bool(uint64_t)>& is_outside,
                    Registers& registers);

}  // namespace debug
