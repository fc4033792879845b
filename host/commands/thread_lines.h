// A thread in WinDbg's own layout.
#pragma once

#include <string>

#include "commands/command.h"
#include "commands/nt_process.h"

namespace commands {

void PrintThread(Context& context, const nt::Thread& thread, bool stack, const std::string& indent);

}  // namespace commands
