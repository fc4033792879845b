#include "run/crash_details.h"

namespace run {

void AddCrashDetails(const RunOptions&, RunResult&) {}

}  // namespace run
