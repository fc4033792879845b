// Lines about the whole machine that several commands print.
#pragma once

#include <string>

#include "commands/command.h"

namespace commands {

void PrintDumpInfo(Context& context);  // the block of !mex.di

// Of the header: nothing set means that the machine did not crash.
bool HasBugcheck(const Context& context);
// "D1 (FFFFF802364E5641, 2, 8, FFFFF802364E5641)"
std::string BugcheckLine(const Context& context);
std::string SessionTimeLine(Context& context);
uint64_t UptimeUnits(Context& context);

}  // namespace commands
