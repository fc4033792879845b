// !mex.p: one process.
#include "commands/command.h"
#include "commands/nt_wait.h"
#include "commands/text.h"
#include "commands/thread_rows.h"

namespace commands {

namespace {

void PrintProcess(Context& context, const nt::Process& process) {
  Table table(
      {{"Name"}, {"Address"}, {"PID"}, {"Parent"}, {"PEB"}, {"Create Time"}, {"Thrd", Align::kRight}});
  auto both = [](uint64_t id) { return fmt::format("{:x} (0n{})", id, id); };
  const std::string created =
      process.create_time == 0 ? "" : ClockTime(process.create_time, context.kernel.TimeZoneBias());
  table.Row({process.DisplayName(), Hex16(process.address) + " (E|K|O)", both(process.pid),
             both(process.parent_pid), Hex16(process.peb), created, std::to_string(process.threads.size())});
  table.Print(context.out);
  context.out.Blank();
  context.out.Line("DirectoryTableBase: {}", Hex16(process.directory_table_base));
  context.out.Line("Object table: {}", Hex16(process.object_table));
  if (process.is_zombie) context.out.Line("This process has ended; something still refers to it (zombie).");
  const auto counts = nt::CountThreads(context.kernel, process, nt::LockTrace(context.kernel));
  context.out.Line(
      "Threads: {} running, {} readyish, {} blocked, {} waiting for LPC, {} for pages, {} for ERESOURCEs, {} "
      "deserve a look",
      counts.running, counts.readyish, counts.blocked, counts.lpc, counts.paging, counts.resource,
      counts.attention);
  context.out.Blank();
  context.out.Line("Show Threads: !mex.us -p {0:x}    !mex.lt {0:x}    !process {0:x} 7", process.address);
}

base::Result<void> Run(Context& context, const Call& call) {
  Arguments arguments(call.arguments);
  const auto words = TRY(arguments.Finish());
  std::string filter = words.empty() ? "" : words[0];
  if (filter.empty()) {
    const nt::Thread thread = TRY(ThreadAt(context.kernel, context.session.current_thread()));
    const nt::Process process = TRY(context.kernel.ReadProcess(thread.process));
    PrintProcess(context, process);
    return {};
  }
  const auto found = FilterProcesses(context, filter);
  if (found.empty()) {
    const uint64_t address = TRY(AddressOr(context, filter, 0));
    PrintProcess(context, TRY(context.kernel.ReadProcess(address)));
    return {};
  }
  for (size_t i = 0; i < found.size(); ++i) {
    if (i != 0) context.out.Blank();
    PrintProcess(context, *found[i]);
  }
  return {};
}

const Registration kRegistration({
    {"!mex.p", "!p"},
    "!mex.p [PROCESS]",
    "one process: ids, creation time, threads",
    "PROCESS is an EPROCESS, a process id or a name; without it the current thread's process.",
    {"!mex.p", "!mex.p system"},
    Run,
});

}  // namespace

}  // namespace commands
