// The program: finds the subcommand, runs it.
#include <cstdio>
#include <cstring>

#include <fmt/format.h>

#include "bin/subcommand.h"

namespace bin {
namespace {

struct Subcommand {
  const char* name;
  int (*run)(const Arguments&);
  const char* usage;
  const char* summary;
};

constexpr Subcommand kSubcommands[] = {
    {"run", RunMain, "run [OPTIONS] DRIVER.sys", "a fresh machine, one driver, a verdict"},
    {"sc", ScMain, "sc create|start|stop|query|delete NAME ...", "as sc.exe, on the default machine"},
    {"sc.exe", ScMain, "", ""},
    {"up", UpMain, "up", "starts the default machine, which keeps its C: and registry"},
    {"down", DownMain, "down", "shuts it down"},
    {"status", StatusMain, "status", "says how it is"},
    {"shell", ShellMain, "shell", "a prompt on it: sc, driverquery, dir, type, ..."},
    {"devnode", DevnodeMain, "devnode [list] | add HARDWARE-ID [SERVICE] | ...",
     "its devices: adds, removes, restarts them"},
    {"power", PowerMain, "power [status] | sleep [1-4] | wake | ...", "its sleep and its source of power"},
    {"proc", ProcMain, "proc list | start NAME | stop PID | thread PID",
     "its processes, as drivers see them"},
    {"debug", DebugMain, "debug [-c 'CMD; CMD'] [-y SYMPATH] FILE.dmp|--live",
     "the debugger, on a dump or on the running machine"},
    {"test", TestMain, "test [--junit FILE] DIR", "builds and runs a project's tests of drivers"},
    {"exports", ExportsMain, "exports [--json]", "what the kernel exports, and how faithfully"},
    {"symbols", SymbolsMain, "symbols --isf FILE.pdb", "symbols and types as ISF JSON, for other tools"},
};

void PrintHelp(FILE* file) {
  fmt::print(file,
             "bugcheck: runs Windows kernel drivers on Linux, breaks them on purpose, and reads the wreck\n\n"
             "usage:\n");
  for (const Subcommand& subcommand : kSubcommands) {
    if (*subcommand.usage == '\0') continue;
    fmt::print(file, "  bugcheck {:<51} {}\n", subcommand.usage, subcommand.summary);
  }
  fmt::print(file, "\nbugcheck SUBCOMMAND --help tells more.\n");
}

}  // namespace

int ReportError(const std::string& message) {
  fmt::print(stderr, "bugcheck: {}\n", message);
  return kInternalError;
}

int Main(int argc, char** argv) {
  if (argc < 2) {
    PrintHelp(stderr);
    return kUsageError;
  }
  const std::string name = argv[1];
  if (name == "--help" || name == "-h" || name == "help") {
    PrintHelp(stdout);
    return kClean;
  }
  if (name == "--version") {
    fmt::print("bugcheck {}\n", BUGCHECK_VERSION);
    return kClean;
  }
  for (const Subcommand& subcommand : kSubcommands) {
    if (name == subcommand.name) return subcommand.run(Arguments(argv + 2, argv + argc));
  }
  fmt::print(stderr, "bugcheck: unknown subcommand: {} (see bugcheck --help)\n", name);
  return kUsageError;
}

}  // namespace bin

int main(int argc, char** argv) {
  return bin::Main(argc, argv);
}
