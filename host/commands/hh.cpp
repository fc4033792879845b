// .hh: the manual page of a command.
#include "commands/command.h"
#include "commands/text.h"

namespace commands {

namespace {

base::Result<void> Run(Context& context, const Call& call) {
  const std::string name(call.arguments.empty() ? ".hh" : call.arguments);
  const Command* command = FindCommand(name);
  if (command == nullptr) command = FindCommand("!" + name);
  if (command == nullptr) command = FindCommand("." + name);
  if (command == nullptr) command = FindCommand("!mex." + name);
  if (command == nullptr) return base::Fail(name + ": no such command (!help lists them)");
  context.out.Write(HelpText(*command));
  return {};
}

const Registration kRegistration({
    {".hh", ".help"},
    ".hh COMMAND",
    "the manual page of a command",
    "",
    {".hh k", ".hh !mex.tl"},
    Run,
});

}  // namespace

}  // namespace commands
