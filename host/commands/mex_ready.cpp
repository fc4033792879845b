// !mex.ready: threads that could run but do not.
#include "commands/command.h"
#include "commands/text.h"
#include "commands/thread_rows.h"

namespace commands {

namespace {

base::Result<void> Run(Context& context, const Call& call) {
  Arguments arguments(call.arguments);
  TRY(arguments.Finish());
  const bool standby_only = call.name.find("standby") != std::string_view::npos;
  Table table = ThreadTable(true);
  for (const nt::Process& process : context.kernel.Processes()) {
    for (const nt::Thread& thread : process.threads) {
      const bool wanted = standby_only ? thread.state == nt::ThreadState::kStandby : thread.IsReadyish();
      if (wanted) AddThreadRow(table, context.kernel, thread, true);
    }
  }
  if (table.rows() == 0) {
    context.out.Line("No {} threads found.", standby_only ? "standby" : "ready");
  } else {
    table.Print(context.out);
    context.out.Blank();
    context.out.Line("Count: {}", table.rows());
  }
  PrintDamage(context);
  return {};
}

const Registration kRegistration({
    {"!mex.ready", "!ready", "!mex.standby", "!standby"},
    "!mex.ready",
    "threads that are ready, deferred ready, standby or in transition",
    "Columns as in !mex.running, with the processors that the thread may run on (Affinity, decimal) and "
    "prefers\n"
    "(Ideal CPU). !mex.standby shows only the threads that are chosen to run next.",
    {"!mex.ready", "!mex.standby"},
    Run,
});

}  // namespace

}  // namespace commands
