// What several subcommands share in parsing their arguments.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/result.h"
#include "bin/subcommand.h"
#include "run/machine.h"

namespace bin {

// Parses; an exit status when the program is to end now (help: 0, errors: 2, said on stderr in one line).
std::optional<int> Parse(CLI::App& app, const Arguments& arguments);
// As a usage error.
int UsageError(const std::string& message);

// The options that describe a machine: --cpus, --memory, --accel, --kernel, --boot-options, --verifier,
// --device.
struct MachineArguments {
  uint32_t processors = 6;
  std::string memory = "256M";
  std::string accelerator = "auto";
  std::string kernel;
  std::string boot_options;
  std::string verifier;
  uint32_t build_number = 22621;
  std::vector<std::string> devices;

  void AddTo(CLI::App& app);
  // Checks the values and finds the guest's folder.
  base::Result<run::MachineOptions> Resolve() const;
};

// Driver Verifier's flags: "standard", "all", a number, or names joined by commas (special_pool, irql, pool,
// io, ...).
base::Result<uint32_t> ParseVerifierFlags(const std::string& list);

}  // namespace bin
