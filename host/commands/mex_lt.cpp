// !mex.lt: the threads of a process.
#include "commands/command.h"
#include "commands/nt_wait.h"
#include "commands/text.h"
#include "commands/thread_rows.h"

namespace commands {

namespace {

base::Result<void> Run(Context& context, const Call& call) {
  Arguments arguments(call.arguments);
  const ThreadFilter filter = TRY(TakeThreadFilter(arguments));
  const auto words = TRY(arguments.Finish());
  std::string process_filter;
  if (!words.empty()) {
    process_filter = words[0];
  } else if (const auto current = ThreadAt(context.kernel, context.session.current_thread())) {
    process_filter = "0x" + Hex16(current->process);
  }
  if (process_filter == "*") process_filter.clear();
  Table table = ThreadListTable();
  for (const nt::Process* process : FilterProcesses(context, process_filter)) {
    for (const nt::Thread& thread : process->threads) {
      if (filter.Accepts(context.kernel, thread)) AddThreadListRow(table, process->DisplayName(), thread);
    }
  }
  table.Print(context.out);
  context.out.Blank();
  context.out.Line("Thread Count: {}", table.rows());
  PrintDamage(context);
  return {};
}

const Registration kRegistration({
    {"!mex.lt", "!lt", "!mex.listthreads"},
    "!mex.lt [PROCESS|*] [-state LIST] [-wr LIST] [-bk]",
    "the threads of a process, with state, time and wait reason",
    "PROCESS is an EPROCESS, a process id or a name (as in !mex.tl); without it the current thread's "
    "process, with *\n"
    "every process. LIST is separated by commas.\n"
    "  -state LIST  only these states: running,ready,standby,waiting, ...\n"
    "  -wr LIST     only these wait reasons: WrPushLock,WrMutex, ...\n"
    "  -bk          only threads that are blocked on a lock or an ERESOURCE\n"
    "Time is the time since the thread's last wait began.",
    {"!mex.lt", "!mex.lt system -state running", "!mex.lt * -bk"},
    Run,
});

}  // namespace

}  // namespace commands
