// !thread: a thread, in WinDbg's layout.
#include "commands/command.h"
#include "commands/text.h"
#include "commands/thread_lines.h"
#include "commands/thread_rows.h"

namespace commands {

namespace {

base::Result<void> PrintByIdentifier(Context& context, uint64_t identifier) {
  for (const nt::Process& process : context.kernel.Processes()) {
    for (const nt::Thread& thread : process.threads) {
      if (thread.tid != identifier || thread.is_idle) continue;
      PrintThread(context, thread, true, "");
      return {};
    }
  }
  context.out.Line("No thread has the identifier {:x}", identifier);
  return {};
}

base::Result<void> Run(Context& context, const Call& call) {
  const auto words = SplitWords(call.arguments);
  if (words.size() > 1 && words[0] == "-t")
    return PrintByIdentifier(context, TRY(AddressOr(context, words[1], 0)));
  const uint64_t address =
      TRY(AddressOr(context, words.empty() ? "" : words[0], context.session.current_thread()));
  const nt::Thread thread = TRY(ThreadAt(context.kernel, address));
  PrintThread(context, thread, true, "");
  return {};
}

const Registration kRegistration({
    {"!thread"},
    "!thread [ADDRESS | -t ID]",
    "a thread and its stack",
    "ADDRESS is an ETHREAD, ID a thread identifier; without either the current thread. !mex.t shows the same "
    "in fewer lines.",
    {"!thread", "!thread -t 4"},
    Run,
});

}  // namespace

}  // namespace commands
