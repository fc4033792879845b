// r: registers.
#include "commands/command.h"
#include "commands/registers_text.h"
#include "commands/text.h"

namespace commands {

namespace {

base::Result<void> Run(Context& context, const Call& call) {
  const auto registers = TRY(context.session.CurrentRegisters());
  if (call.arguments.empty()) {
    PrintRegisters(context, registers);
    return {};
  }
  for (const std::string& word : SplitList(call.arguments, ',')) {
    const std::string name = word[0] == '@' ? word.substr(1) : word;
    const auto value = registers.ByName(Lower(name));
    if (!value) return base::Fail(name + ": no such register, or its value is not known here");
    context.out.Line("{}={:016x}", Lower(name), *value);
  }
  return {};
}

const Registration kRegistration({
    {"r"},
    "r [REGISTER[,REGISTER...]]",
    "the registers of the current context, and its instruction",
    "After .trap, .cxr, .thread or ~Ns those of that context. Registers that an unwound frame does not tell "
    "are noted.",
    {"r", "r rip,rsp"},
    Run,
});

}  // namespace

}  // namespace commands
