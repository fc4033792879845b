// A run's verdict as text and as JSON (docs/run-json.md).
#pragma once

#include <string>

#include "base/result.h"
#include "run/run_driver.h"

namespace run {

std::string ReportText(const RunOptions& options, const RunResult& result);
std::string ReportJson(const RunOptions& options, const RunResult& result);

// The STOP facts as indented lines: code, name, parameters, driver, symbol, thread, IRQL, processor.
std::string StopText(const boot::StopFacts& stop, const std::string& symbol);
// "0xD1 DRIVER_IRQL_NOT_LESS_OR_EQUAL"
std::string BugcheckTitle(uint32_t code);
const char* ThreadStateName(uint32_t state);
const char* WaitReasonName(uint32_t reason);

}  // namespace run
