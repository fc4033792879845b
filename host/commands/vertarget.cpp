// vertarget: version of the target.
#include "commands/command.h"
#include "commands/nt_system.h"
#include "commands/system_lines.h"
#include "commands/text.h"

namespace commands {

namespace {

base::Result<void> Run(Context& context, const Call& call) {
  Arguments arguments(call.arguments);
  TRY(arguments.Finish());
  Output& out = context.out;
  out.Line("{}", nt::VersionLine(context.kernel));
  out.Line("Product: {}", nt::ProductLine(context.kernel));
  const std::string lab = nt::BuildLab(context.kernel);
  if (!lab.empty()) out.Line("Edition build lab: {}", lab);
  out.Line("Kernel base = {} PsLoadedModuleList = {}", TickAddress(context.session.kernel().base),
           TickAddress(context.session.kernel().loaded_module_list));
  out.Line("Debug session time: {}", SessionTimeLine(context));
  out.Line("System Uptime: {}", Uptime(UptimeUnits(context)));
  return {};
}

const Registration kRegistration({
    {"vertarget", "version"},
    "vertarget",
    "version of the target",
    "!mex.di shows more.",
    {"vertarget"},
    Run,
});

}  // namespace

}  // namespace commands
