// !mex.running: the thread on each processor.
#include "commands/command.h"
#include "commands/thread_rows.h"

namespace commands {

namespace {

base::Result<void> Run(Context& context, const Call& call) {
  Arguments arguments(call.arguments);
  TRY(arguments.Finish());
  Table table = ThreadTable(false);
  std::vector<std::string> problems;
  for (uint32_t number = 0; number < context.session.processor_count(); ++number) {
    const auto processor = context.session.GetProcessor(number);
    if (!processor) {
      problems.push_back(fmt::format("Processor {}: {}", number, processor.error().message));
      continue;
    }
    auto thread = ThreadAt(context.kernel, processor->current_thread);
    if (!thread) {
      problems.push_back(fmt::format("Processor {}: {}", number, thread.error().message));
      continue;
    }
    thread->processor = number;
    AddThreadRow(table, context.kernel, *thread, false);
  }
  table.Print(context.out);
  for (const std::string& problem : problems) context.out.WriteLine(problem);
  return {};
}

const Registration kRegistration({
    {"!mex.running", "!running"},
    "!mex.running",
    "the thread that runs on each processor, and for how long",
    "One line a processor. Next CPU is the processor. Time is the time since the thread's WaitTime: since "
    "its last\n"
    "wait began; for a thread that never waited this is the machine's uptime, and no measure of how long it "
    "spun\n"
    "(!spinlocks tells that). Reason is the reason of that last wait. User and Kernel are its processor "
    "times.",
    {"!mex.running"},
    Run,
});

}  // namespace

}  // namespace commands
