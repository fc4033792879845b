// !process: a process, in WinDbg's layout.
#include "commands/command.h"
#include "commands/stack_text.h"
#include "commands/text.h"
#include "commands/thread_lines.h"
#include "commands/thread_rows.h"

namespace commands {

namespace {

constexpr uint64_t kShowThreads = 2, kShowStacks = 4;

void PrintProcess(Context& context, const nt::Process& process, uint64_t flags) {
  Output& out = context.out;
  out.Line("PROCESS {}", Hex16(process.address));
  out.Line("    SessionId: none  Cid: {:04x}    Peb: {:08x}  ParentCid: {:04x}", process.pid, process.peb,
           process.parent_pid);
  out.Line("    DirBase: {:08x}  ObjectTable: {}", process.directory_table_base, Hex16(process.object_table));
  out.Line("    Image: {}", process.DisplayName());
  out.Blank();
  if ((flags & (kShowThreads | kShowStacks)) == 0) return;
  for (const nt::Thread& thread : process.threads)
    PrintThread(context, thread, (flags & kShowStacks) != 0, "        ");
}

base::Result<void> Run(Context& context, const Call& call) {
  std::vector<std::string> words = SplitWords(call.arguments);
  std::string which = words.empty() ? "" : words[0];
  uint64_t flags = 3;
  if (words.size() > 1) flags = TRY(AddressOr(context, words[1], flags));
  const std::string name = words.size() > 2 ? words[2] : "";
  if (which.empty() || which == "-1") {
    const nt::Thread thread = TRY(ThreadAt(context.kernel, context.session.current_thread()));
    PrintProcess(context, TRY(context.kernel.ReadProcess(thread.process)), flags);
    return {};
  }
  if (which == "0") {
    if (words.size() < 2) flags = 0;
    context.out.Line("**** NT ACTIVE PROCESS DUMP ****");
    for (const nt::Process* process : FilterProcesses(context, name)) {
      // The idle process is not in the list of active processes.
      if (process->pid != 0 || !name.empty()) PrintProcess(context, *process, flags);
    }
    PrintDamage(context);
    return {};
  }
  const auto found = FilterProcesses(context, which);
  if (found.empty()) {
    PrintProcess(context, TRY(context.kernel.ReadProcess(TRY(AddressOr(context, which, 0)))), flags);
    return {};
  }
  for (const nt::Process* process : found) PrintProcess(context, *process, flags);
  return {};
}

const Registration kRegistration({
    {"!process"},
    "!process [PROCESS|0 [FLAGS [NAME]]]",
    "processes, with their threads and stacks",
    "PROCESS is an EPROCESS, a process id or a name; 0 all of them (then only those called NAME); without it "
    "the\n"
    "current thread's. FLAGS: 0 only the process, 2 also its threads, 4 also their stacks (7: everything).",
    {"!process", "!process 0 0", "!process 0 7 System"},
    Run,
});

}  // namespace

}  // namespace commands
