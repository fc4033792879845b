// dv: local variables.
#include "commands/command.h"
#include "commands/text.h"
#include "commands/type_text.h"

namespace commands {

namespace {

base::Result<void> Run(Context& context, const Call& call) {
  Arguments arguments(call.arguments);
  TRY(arguments.Finish());
  const auto registers = TRY(context.session.CurrentRegisters());
  debug::Frame frame;
  frame.registers = registers;
  frame.ip = registers.rip;
  const auto variables = context.session.symbols().VariablesAt(frame.LookupIp());
  if (variables.empty())
    context.out.Line("No local variables are known at {}", context.session.symbols().Describe(frame.ip));
  for (const symbols::Variable& variable : variables) {
    context.out.Line("{}{}", variable.is_parameter ? "prm " : "    ", VariableText(context, frame, variable));
  }
  return {};
}

const Registration kRegistration({
    {"dv"},
    "dv",
    "local variables of the current context",
    "Parameters (prm) first. <unavailable>: optimised away at this instruction, or in a register that is not "
    "known.",
    {"dv"},
    Run,
});

}  // namespace

}  // namespace commands
