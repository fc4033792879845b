// .ecxr, .lastevent: the crash's own registers, and what it was.
#include "commands/analysis.h"
#include "commands/bugcheck_info.h"
#include "commands/command.h"
#include "commands/registers_text.h"
#include "commands/system_lines.h"
#include "commands/text.h"

namespace commands {

namespace {

// The exception's context record where the bug check has one; else the code behind the trap frame.
base::Result<debug::Registers> CrashRegisters(Context& context) {
  if (!HasBugcheck(context))
    return base::Fail("the machine has not stopped with a bug check: there is no exception");
  const Analysis analysis = TRY(Analyze(context));
  const uint64_t context_record = ContextRecordOf(analysis);
  if (context_record != 0) return context.session.ContextRegisters(context_record);
  if (analysis.trap_frame != 0) return context.session.TrapFrameRegisters(analysis.trap_frame);
  return base::Fail("no exception and no trap led to this bug check: a routine called KeBugCheckEx");
}

base::Result<void> RunEcxr(Context& context, const Call&) {
  const auto registers = CrashRegisters(context);
  if (!registers) {
    context.out.Line("{}", registers.error().message);
    return {};
  }
  context.session.SelectRegisters(*registers);
  PrintRegisters(context, *registers);
  return {};
}

base::Result<void> RunLastEvent(Context& context, const Call&) {
  if (!HasBugcheck(context)) {
    context.out.Line("Last event: none; the machine has not stopped");
    return {};
  }
  context.out.Line("Last event: bug check {} on processor {}",
                   BugcheckTitle(context.session.header().BugCheckCode), context.session.crash_processor());
  context.out.Line("  debugger time: {}", SessionTimeLine(context));
  return {};
}

const Registration kEcxr({
    {".ecxr"},
    ".ecxr",
    "the registers of the exception that the crash is about",
    "From the bug check's context record where it has one, else from the trap frame on the stack. k, r and "
    "@rip then\n"
    "speak of that code; .cxr goes back.",
    {".ecxr"},
    RunEcxr,
});

const Registration kLastEvent({
    {".lastevent"},
    ".lastevent",
    "what stopped the machine, and when",
    "",
    {".lastevent"},
    RunLastEvent,
});

}  // namespace

}  // namespace commands
