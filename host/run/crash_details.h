// What a dump tells beyond the STOP facts: the symbol at fault and what the driver's threads were doing.
#pragma once

#include "run/run_driver.h"

namespace run {

// Fills fault_symbol and thread_notes from result.dump_path; leaves them empty where symbols are missing.
void AddCrashDetails(const RunOptions& options, RunResult& result);

}  // namespace run
