// The debugger's prompt.
#pragma once

#include "commands/interpreter.h"

namespace commands {

// Reads lines until `q` or the end of input. On a terminal with line editing, history (kept in
// $XDG_STATE_HOME/bugcheck/debug_history) and completion of commands, modules and symbols.
void RunPrompt(Interpreter& interpreter);

}  // namespace commands
