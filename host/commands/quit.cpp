// q: leave.
#include "commands/command.h"

namespace commands {

namespace {

base::Result<void> Run(Context& context, const Call&) {
  context.quit = true;
  return {};
}

const Registration kRegistration({
    {"q", "qd", "qq"},
    "q",
    "leave the debugger",
    "Ends a script too. Ctrl-D at the prompt does the same.",
    {"q"},
    Run,
});

}  // namespace

}  // namespace commands
