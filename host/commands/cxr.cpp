// .cxr: registers from a CONTEXT.
#include "commands/command.h"
#include "commands/registers_text.h"

namespace commands {

namespace {

base::Result<void> Run(Context& context, const Call& call) {
  if (call.arguments.empty() || call.arguments == "0") {
    context.session.ResetSelection();
    context.out.Line("Resetting default scope");
    return {};
  }
  const uint64_t address = TRY(AddressOr(context, call.arguments, 0));
  const auto registers = TRY(context.session.ContextRegisters(address));
  context.session.SelectRegisters(registers);
  PrintRegisters(context, registers);
  return {};
}

const Registration kRegistration({
    {".cxr"},
    ".cxr [ADDRESS]",
    "take the registers from a context record (_CONTEXT)",
    "k, r and @rip then speak of that context. Without ADDRESS, or with 0: back to the crash.",
    {".cxr"},
    Run,
});

}  // namespace

}  // namespace commands
