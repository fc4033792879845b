// .time: when, and for how long.
#include "commands/command.h"
#include "commands/system_lines.h"
#include "commands/text.h"

namespace commands {

namespace {

base::Result<void> Run(Context& context, const Call& call) {
  Arguments arguments(call.arguments);
  TRY(arguments.Finish());
  context.out.Line("Debug session time: {}", SessionTimeLine(context));
  context.out.Line("System Uptime: {}", Uptime(UptimeUnits(context)));
  return {};
}

const Registration kRegistration({
    {".time"},
    ".time",
    "when the machine stopped, and how long it had run",
    "The machine's local time, with its offset from UTC.",
    {".time"},
    Run,
});

}  // namespace

}  // namespace commands
