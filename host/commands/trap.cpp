// .trap: registers from a trap frame.
#include "commands/command.h"
#include "commands/registers_text.h"

namespace commands {

namespace {

base::Result<void> Run(Context& context, const Call& call) {
  if (call.arguments.empty() || call.arguments == "0") {
    context.session.ResetSelection();
    PrintRegisters(context, TRY(context.session.CurrentRegisters()));
    return {};
  }
  const uint64_t address = TRY(AddressOr(context, call.arguments, 0));
  const auto registers = TRY(context.session.TrapFrameRegisters(address));
  context.session.SelectRegisters(registers);
  PrintRegisters(context, registers);
  return {};
}

const Registration kRegistration({
    {".trap"},
    ".trap [ADDRESS]",
    "take the registers from a trap frame (_KTRAP_FRAME)",
    "k, r and @rip then speak of the interrupted code. kv shows where trap frames are. Without ADDRESS, or "
    "with 0: back "
    "to the\n"
    "crash.",
    {".trap"},
    Run,
});

}  // namespace

}  // namespace commands
