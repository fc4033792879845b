// !analyze: what happened, in WinDbg's layout and in plain words.
#include <cctype>

#include "commands/analysis.h"
#include "commands/bucket.h"
#include "commands/bugcheck_info.h"
#include "commands/command.h"
#include "commands/stack_text.h"
#include "commands/system_lines.h"
#include "commands/text.h"

namespace commands {

namespace {

void PrintHead(Context& context, const Analysis& a) {
  Output& out = context.out;
  const std::string stars(79, '*'), side = "*" + std::string(77, ' ') + "*";
  out.WriteLine(stars);
  out.WriteLine(side);
  out.WriteLine("*                        Bugcheck Analysis                                    *");
  out.WriteLine(side);
  out.WriteLine(stars);
  out.Blank();
  if (!HasBugcheck(context)) {
    out.Line("The machine has not stopped with a bug check.");
    out.Blank();
    return;
  }
  out.Line("{}", BugcheckTitle(a.code));
  if (const auto text = BugcheckExplanation(a.code); !text.empty()) {
    out.Line("{}", text);
    out.Fact("BUGCHECK_TEXT", text);
  }
  out.Line("Arguments:");
  for (size_t i = 0; i < 4; ++i) {
    const std::string_view meaning = BugcheckParameterText(a.code, i);
    out.Line("Arg{}: {}{}", i + 1, Hex16(a.parameters[i]),
             meaning.empty() ? "" : ", " + std::string(meaning));
  }
  if (const auto kind = KindOfBugcheck(a.code, a.parameters))
    out.Line("Here argument {} means: {}", kind->parameter, kind->text);
  out.Blank();
}

void Key(Context& context, const char* name, const std::string& value) {
  if (value.empty()) return;
  context.out.Line("{}:  {}", name, value);
  context.out.Blank();
  context.out.Fact(name, value);
}

void PrintWords(Context& context, const Analysis& a) {
  const auto words = PlainWords(context, a);
  if (words.empty()) return;
  context.out.Line("IN PLAIN WORDS:");
  std::string all;
  for (const std::string& line : words) {
    context.out.Line("  {}", line);
    all += (all.empty() ? "" : " ") + line;
  }
  context.out.Fact("IN_PLAIN_WORDS", all);
  context.out.Blank();
}

// READ_ADDRESS, WRITE_ADDRESS, EXECUTE_ADDRESS.
void PrintAccess(Context& context, std::string_view operation, uint64_t address, const std::string& place) {
  std::string name;
  for (char c : operation) name += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  Key(context, (name + "_ADDRESS").c_str(), Hex16(address) + place);
}

void PrintFacts(Context& context, const Analysis& a) {
  if (HasBugcheck(context)) {
    Key(context, "BUGCHECK_CODE", Hex(a.code));
    for (size_t i = 0; i < 4; ++i) {
      context.out.Line("BUGCHECK_P{}: {}", i + 1, Hex(a.parameters[i]));
      context.out.Fact(fmt::format("BUGCHECK_P{}", i + 1), Hex(a.parameters[i]));
    }
    context.out.Blank();
  }
  if (a.touched) {
    const bool in_image = a.touched->module != nullptr;
    PrintAccess(context, OperationOf(a), a.touched->address,
                in_image ? " " + context.session.symbols().Describe(a.touched->address) : "");
  } else if (const auto access = AccessOf(context, a)) {
    PrintAccess(context, access->operation, access->address, "");
  }
  if (a.irql) Key(context, "CURRENT_IRQL", Hex(*a.irql));
  if (!a.stack.frames.empty() && a.fault_frame < a.stack.frames.size()) {
    const debug::Frame& fault = a.stack.frames[a.fault_frame];
    Key(context, "FAULTING_IP", FrameName(context.session.symbols(), fault) + " (" + Hex16(fault.ip) + ")");
  }
  Key(context, "PROCESS_NAME", a.process_name);
  if (a.thread) Key(context, "FAULTING_THREAD", Hex16(a.thread->address));
  Key(context, "FAULTING_PROCESSOR", std::to_string(a.processor));
  if (const uint64_t record = ExceptionRecordOf(a))
    Key(context, "EXCEPTION_RECORD", fmt::format("{0} -- (.exr 0x{0})", Hex16(record)));
  if (const uint64_t record = ContextRecordOf(a))
    Key(context, "CONTEXT", fmt::format("{0} -- (.cxr 0x{0})", Hex16(record)));
  if (a.trap_frame != 0) Key(context, "TRAP_FRAME", fmt::format("{0} -- (.trap 0x{0})", Hex16(a.trap_frame)));
}

void PrintStack(Context& context, const Analysis& a) {
  context.out.Line("STACK_TEXT:");
  TableData data{{"child_sp", "return", "call_site", "source"}, {}};
  for (const debug::Frame& frame : a.stack.frames) {
    const std::string name = FrameName(context.session.symbols(), frame),
                      source = FrameSource(context.session.symbols(), frame);
    context.out.Line("{} {} : {}{}", debug::FormatAddress(frame.child_sp),
                     debug::FormatAddress(frame.return_address), name,
                     source.empty() ? "" : " [" + source + "]");
    data.rows.push_back({Hex16(frame.child_sp), Hex16(frame.return_address), name, source});
  }
  if (a.stack.frames.empty()) context.out.Line("(no stack)");
  if (!a.stack.stop.empty()) context.out.Line("Stack unwind stopped: {}", a.stack.stop);
  context.out.Table(std::move(data));
  context.out.Blank();
}

// As Windows writes a place in a driver that is gone, or that has no symbols.
std::string CulpritWithoutSymbol(const debug::Module* module, const std::string& name) {
  return module != nullptr ? module->name + "!unknown_function" : name;
}

void PrintBlame(Context& context, const Analysis& a) {
  const debug::Symbols& symbols = context.session.symbols();
  const auto index = a.BlameFrame();
  const debug::Module* module = a.DriverOffStack(symbols);
  uint64_t address = a.driver_address;
  std::string name = symbols.Describe(address);
  if (module == nullptr) {
    if (!index) return;
    const debug::Frame& frame = a.stack.frames[*index];
    module = OwnerOf(symbols, frame.ip);
    address = frame.LookupIp();
    name = FrameName(symbols, frame);
  }
  Key(context, "SYMBOL_NAME", name);
  if (module != nullptr) {
    Key(context, "MODULE_NAME", module->name);
    Key(context, "IMAGE_NAME", module->image_name);
  }
  if (const auto line = symbols.LineAt(address)) {
    Key(context, "FAULTING_SOURCE_LINE", line->file);
    Key(context, "FAULTING_SOURCE_LINE_NUMBER", std::to_string(line->line));
  }
  if (context.session.target().is_live() && !HasBugcheck(context)) return;  // nothing failed, as far as known
  const auto symbol = symbols.At(address);
  Key(context, "FAILURE_BUCKET_ID",
      FailureBucket(
          a, symbol && symbol->module == module ? symbol->FullName() : CulpritWithoutSymbol(module, name)));
}

// The commands that show more of this kind of crash, with its own parameters.
void PrintQuestions(Context& context, const Analysis& a) {
  std::string text(BugcheckQuestions(a.code));
  for (size_t i = 0; i < 4; ++i) {
    const std::string name = "ARG" + std::to_string(i + 1);
    for (size_t at; (at = text.find(name)) != std::string::npos;)
      text.replace(at, name.size(), Hex(a.parameters[i]));
  }
  Key(context, "TO_SEE_MORE", text);
}

base::Result<void> Run(Context& context, const Call& call) {
  Arguments arguments(call.arguments);
  const bool verbose = arguments.Flag("-v");
  for (const char* accepted : {"-f", "-hang", "-show"}) (void)arguments.Flag(accepted);
  TRY(arguments.Finish());
  const Analysis a = TRY(Analyze(context));
  PrintHead(context, a);
  if (!verbose) {
    PrintWords(context, a);
    const auto index = a.BlameFrame();
    if (index) {
      const debug::Frame& frame = a.stack.frames[*index];
      const debug::Module* module = context.session.symbols().ModuleAt(frame.ip);
      context.out.Line("Probably caused by : {} ( {} )",
                       module != nullptr ? module->image_name : "Unknown_Image",
                       FrameName(context.session.symbols(), frame));
    }
    return {};
  }
  context.out.Line("Debugging Details:");
  context.out.Line("------------------");
  context.out.Blank();
  PrintWords(context, a);
  PrintFacts(context, a);
  PrintStack(context, a);
  PrintBlame(context, a);
  PrintQuestions(context, a);
  context.out.Line("Followup:     MachineOwner");
  context.out.Line("---------");
  return {};
}

const Registration kRegistration({
    {"!analyze"},
    "!analyze [-v]",
    "what happened, who did it, and how that is known",
    "The bug check with its parameters, the explanation in plain words, and with -v all facts: addresses, "
    "IRQL, process,\n"
    "trap frame, the whole stack, and the code to blame.\n"
    "Everything comes from the dump: the called routine from the stack, its IRQL rule from the "
    "documentation's table, the\n"
    "lock and its times from the kernel's lock trace, the section from the image's headers, its residence "
    "from the page\n"
    "tables. For a hang (bug check 80 sent by the host, or a live machine) it names who spins, who holds and "
    "who waits.",
    {"!analyze", "!analyze -v"},
    Run,
});

}  // namespace

}  // namespace commands
