// !thread: a thread, in WinDbg's layout.
#include "commands/command.h"
#include "commands/text.h"
#include "commands/thread_lines.h"
#include "commands/thread_rows.h"

namespace commands {

namespace {

base::Result<void> Run(Context& context, const Call& call) {
  const auto words = SplitWords(call.arguments);
  const uint64_t address =
      TRY(AddressOr(context, words.empty() ? "" : words[0], context.session.current_thread()));
  const nt::Thread thread = TRY(ThreadAt(context.kernel, address));
  PrintThread(context, thread, true, "");
  return {};
}

const Registration kRegistration({
    {"!thread"},
    "!thread [ADDRESS]",
    "a thread and its stack",
    "ADDRESS is an ETHREAD; without it the current thread. !mex.t shows the same in fewer lines.",
    {"!thread"},
    Run,
});

}  // namespace

}  // namespace commands
