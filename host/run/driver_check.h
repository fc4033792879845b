// What can be said about a .sys before a machine is started for it.
#pragma once

#include <cstdint>
#include <string>

namespace run {

struct DriverProblem {
  std::string message;  // one sentence without the file's name
  int32_t status = 0;   // the NTSTATUS with which Windows refuses such an image
};

enum class DriverFile { kGood, kUnreadable, kRefused };

// kUnreadable: `problem.message` is the operating system's reason.
DriverFile CheckDriver(const std::string& path, DriverProblem& problem);

}  // namespace run
