// .thread: choose a thread.
#include "commands/command.h"
#include "commands/text.h"

namespace commands {

namespace {

base::Result<void> Run(Context& context, const Call& call) {
  Arguments arguments(call.arguments);
  for (const char* accepted : {"-p", "-r"}) (void)arguments.Flag(accepted);
  const auto words = TRY(arguments.Finish());
  if (words.empty()) {
    context.session.ResetSelection();
  } else {
    TRY(context.session.SelectThread(TRY(AddressOr(context, words[0], 0))));
  }
  context.out.Line("Implicit thread is now {}", debug::FormatAddress(context.session.current_thread()));
  return {};
}

const Registration kRegistration({
    {".thread"},
    ".thread [ADDRESS]",
    "choose the thread that k and r speak of",
    "ADDRESS is an ETHREAD. Without it: back to the thread that crashed. /p and /r are accepted; kernel "
    "addresses need\n"
    "no process.",
    {".thread @$thread", ".thread"},
    Run,
});

}  // namespace

}  // namespace commands
