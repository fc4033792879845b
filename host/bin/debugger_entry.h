// The seam to the debugger (host/commands): present when the program was built with it.
#pragma once

#include "bin/subcommand.h"

namespace bin {

// `arguments` as the user wrote them, but for --live, which is --live-ram=FD,HEADER_PHYSICAL.
int RunDebugger(const Arguments& arguments);

}  // namespace bin
