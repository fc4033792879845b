// ?: expressions.
#include "commands/command.h"
#include "commands/text.h"
#include "debug/expression.h"

namespace commands {

namespace {

base::Result<void> Run(Context& context, const Call& call) {
  if (call.arguments.empty()) return base::Fail("usage: ? EXPRESSION (!help lists the commands)");
  const uint64_t value = TRY(debug::Evaluate(context.session, call.arguments));
  context.out.Line("Evaluate expression: {} = {}", static_cast<int64_t>(value), debug::FormatAddress(value));
  context.out.Fact("value", Hex16(value));
  return {};
}

const Registration kRegistration({
    {"?"},
    "? EXPRESSION",
    "evaluate an expression",
    "Numbers are hexadecimal; 0n decimal, 0t octal, 0y binary. Symbols (nt!Name), registers (@rip), "
    "@$thread, @$proc,\n"
    "@$prcb. Operators: + - * / % << >> & | ^ ~ == != < > ( ), and by wo dwo qwo poi to read memory, hi low "
    "not.",
    {"? 0n10+5", "? poi(nt!PsLoadedModuleList)", "? @$thread"},
    Run,
});

}  // namespace

}  // namespace commands
