// `bugcheck debug`: opens a dump or the live machine, then a script (-c) or a prompt.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "debug/session.h"

namespace commands {

struct DebugOptions {
  std::string dump;                  // path of a dump; empty: live
  int live_ram = -1;                 // descriptor of the live machine's RAM file; stays the caller's
  uint64_t live_header = 0;          // physical address of its dump header
  std::vector<std::string> scripts;  // -c, each "CMD; CMD"
  std::string symbol_path;           // -y
  bool json = false;
  bool list_commands = false;
  bool help = false;
};

// `arguments` without program and subcommand; --live arrives as --live-ram=FD,PHYSICAL.
base::Result<DebugOptions> ParseDebugOptions(const std::vector<std::string>& arguments);

// The target of `options`, with the program's own guest folder on the symbol path.
base::Result<std::unique_ptr<debug::Session>> OpenSession(const DebugOptions& options);

// 0; 1 when the target cannot be opened or a command of -c failed; 2 for wrong usage. Errors: one line on
// stderr.
int DebugMain(const std::vector<std::string>& arguments);

}  // namespace commands
