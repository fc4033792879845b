// .bugcheck: the stop code and its parameters.
#include "commands/bugcheck_info.h"
#include "commands/command.h"
#include "commands/system_lines.h"
#include "commands/text.h"

namespace commands {

namespace {

base::Result<void> Run(Context& context, const Call& call) {
  Arguments arguments(call.arguments);
  TRY(arguments.Finish());
  if (!HasBugcheck(context)) {
    context.out.Line("The machine has not stopped with a bug check.");
    return {};
  }
  const auto& header = context.session.header();
  const auto& p = header.BugCheckParameter;
  context.out.Line("Bugcheck code {:08X} {}", header.BugCheckCode, BugcheckTitle(header.BugCheckCode));
  context.out.Line("Arguments {} {} {} {}", debug::FormatAddress(p[0]), debug::FormatAddress(p[1]),
                   debug::FormatAddress(p[2]), debug::FormatAddress(p[3]));
  context.out.Fact("code", UpperHex(header.BugCheckCode));
  for (int i = 0; i < 4; ++i) context.out.Fact(fmt::format("parameter{}", i + 1), Hex16(p[i]));
  return {};
}

const Registration kRegistration({
    {".bugcheck"},
    ".bugcheck",
    "the bug check's code and parameters",
    "!analyze -v explains them.",
    {".bugcheck"},
    Run,
});

}  // namespace

}  // namespace commands
