// !help: all commands.
#include "commands/command.h"
#include "commands/table.h"

namespace commands {

namespace {

base::Result<void> Run(Context& context, const Call&) {
  Table table({{"Command"}, {"What it shows"}});
  for (const Command* command : AllCommands()) {
    table.Row({std::string(command->names[0]), std::string(command->summary)});
  }
  table.Print(context.out);
  context.out.Blank();
  context.out.Line(".hh COMMAND shows a command's manual page.");
  return {};
}

const Registration kRegistration({
    {"!help", "!mex.help"},
    "!help",
    "all commands",
    "",
    {"!help"},
    Run,
});

}  // namespace

}  // namespace commands
