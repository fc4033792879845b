// !mex.crash: the crash in one page.
#include "commands/bugcheck_info.h"
#include "commands/command.h"
#include "commands/stack_text.h"
#include "commands/system_lines.h"
#include "commands/text.h"

namespace commands {

namespace {

void Section(Output& out, std::string_view title) {
  out.Line("{}", title);
  out.Line("============================================");
}

base::Result<void> Run(Context& context, const Call& call) {
  Arguments arguments(call.arguments);
  TRY(arguments.Finish());
  Output& out = context.out;
  const auto& header = context.session.header();
  Section(out, "Dump Info");
  PrintDumpInfo(context);
  out.Blank();
  Section(out, "Bugcheck details");
  if (HasBugcheck(context)) {
    out.Line("{}", BugcheckTitle(header.BugCheckCode));
    out.Line("Bugcheck code {:08X}", header.BugCheckCode);
    out.Line("Arguments {} {} {} {}", Hex16(header.BugCheckParameter[0]), Hex16(header.BugCheckParameter[1]),
             Hex16(header.BugCheckParameter[2]), Hex16(header.BugCheckParameter[3]));
  } else {
    out.Line("No bug check.");
  }
  out.Blank();
  Section(out, "Crashing Stack");
  const auto processor = TRY(context.session.GetProcessor(context.session.crash_processor()));
  PrintMexStack(out, context.session.symbols(), TRY(context.session.ThreadStack(processor.current_thread)));
  return {};
}

const Registration kRegistration({
    {"!mex.crash", "!crash"},
    "!mex.crash",
    "the crash in one page: machine, bug check, stack of the crashing thread",
    "The blocks of !mex.di, .bugcheck and k for the thread that crashed. !analyze -v explains it.",
    {"!mex.crash"},
    Run,
});

}  // namespace

}  // namespace commands
