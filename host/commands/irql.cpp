// !irql: the IRQL at which a processor was stopped.
#include "commands/bugcheck_info.h"
#include "commands/command.h"
#include "commands/nt_irql.h"

namespace commands {

namespace {

base::Result<void> Run(Context& context, const Call& call) {
  if (context.session.target().is_live())
    return base::Fail("the machine is running: its IRQL changes all the time");
  const uint64_t number = TRY(AddressOr(context, call.arguments, context.session.current_processor()));
  const auto irql = nt::ProcessorIrql(context.kernel, static_cast<uint32_t>(number));
  if (!irql) return base::Fail(fmt::format("the IRQL of processor 0x{:x} was not saved", number));
  context.out.Line("Debugger saved IRQL for processor 0x{:x} -- {} ({})", number, *irql, IrqlName(*irql));
  return {};
}

const Registration kRegistration({
    {"!irql"},
    "!irql [NUMBER]",
    "the IRQL at which a processor was stopped",
    "CR8 as it was saved with the processor's other registers (on Windows _KPRCB.DebuggerSavedIRQL).",
    {"!irql", "!irql 0"},
    Run,
});

}  // namespace

}  // namespace commands
