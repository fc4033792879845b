// Registers and the instruction at rip, as `r` shows them.
#pragma once

#include "commands/command.h"
#include "debug/registers.h"

namespace commands {

void PrintRegisters(Context& context, const debug::Registers& registers);
// "nt!KeBugCheckEx:" and the instruction.
void PrintInstructionAt(Context& context, uint64_t address);

}  // namespace commands
