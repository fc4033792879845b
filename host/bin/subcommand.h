// The program's subcommands, one file each.
#pragma once

#include <string>
#include <vector>

namespace bin {

using Arguments = std::vector<std::string>;  // without the program's and the subcommand's names

// Exit statuses, the same for all subcommands; what `run` says about a driver.
enum ExitStatus {
  kClean = 0,
  kInternalError = 1,
  kUsageError = 2,
  kBugcheck = 3,
  kHang = 4,
  kNotLoaded = 5,
  kLeftBehind = 6,
};

int RunMain(const Arguments& arguments);
int ScMain(const Arguments& arguments);
int UpMain(const Arguments& arguments);
int DownMain(const Arguments& arguments);
int StatusMain(const Arguments& arguments);
int ShellMain(const Arguments& arguments);
int DevnodeMain(const Arguments& arguments);
int PowerMain(const Arguments& arguments);
int ProcMain(const Arguments& arguments);
int DebugMain(const Arguments& arguments);
int ExportsMain(const Arguments& arguments);
int SymbolsMain(const Arguments& arguments);
int TestMain(const Arguments& arguments);

// "bugcheck: MESSAGE" on stderr; kInternalError.
int ReportError(const std::string& message);

}  // namespace bin
