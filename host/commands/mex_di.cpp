// !mex.di: the machine and the dump at a glance.
#include "commands/command.h"
#include "commands/nt_process.h"
#include "commands/nt_system.h"
#include "commands/system_lines.h"
#include "commands/text.h"

namespace commands {

namespace {

void Verbose(Context& context) {
  Output& out = context.out;
  const debug::Session& session = context.session;
  const auto& header = session.header();
  out.Blank();
  out.Line("Target: {}", session.target().description());
  uint64_t pages = 0;
  for (const auto& run : session.target().memory().Runs()) pages += run.PageCount;
  out.Line("Memory in the dump: {}", Bytes(pages * debug::kPageSize));
  out.Line("DirectoryTableBase = {}", Hex16(header.DirectoryTableBase));
  out.Line("PsActiveProcessHead = {}", TickAddress(session.kernel().active_process_head));
  out.Line("KdDebuggerDataBlock = {}{}", TickAddress(session.kernel().debugger_data),
           session.kernel().kdbg_was_encoded ? " (was encoded)" : "");
  size_t threads = 0, zombies = 0;
  for (const nt::Process& process : context.kernel.Processes()) {
    threads += process.threads.size();
    zombies += process.is_zombie ? 1 : 0;
  }
  out.Line("Modules: {}", session.symbols().modules().size());
  out.Line("Processes: {} ({} zombies), threads: {}", context.kernel.Processes().size(), zombies, threads);
  out.Line("Clock tick: {} us", context.kernel.TimeIncrement() / 10);
  out.Line("Crashed on processor {}", session.crash_processor());
  for (const std::string& warning : session.warnings()) out.Line("Warning! {}", warning);
}

base::Result<void> Run(Context& context, const Call& call) {
  Arguments arguments(call.arguments);
  const bool verbose = arguments.Flag("-v");
  TRY(arguments.Finish());
  PrintDumpInfo(context);
  if (verbose) Verbose(context);
  return {};
}

const Registration kRegistration({
    {"!mex.di", "!di", "!mex.dumpinfo", "!dumpinfo"},
    "!mex.di [-v]",
    "dump information: machine, version, time, bug check",
    "Computer name, kernel version and build, where the kernel lies, when the machine stopped and how long "
    "it ran,\n"
    "what it is made of, and the bug check with its four parameters.\n"
    "  -v  adds the target, its memory, list heads, counts of modules, processes and threads, and warnings.\n"
    "The session time is the machine's local time; the offset from UTC is behind it.",
    {"!mex.di", "!mex.di -v"},
    Run,
});

}  // namespace

}  // namespace commands
