// k, kn, kv, kP: the stack of the current thread or context.
#include <algorithm>

#include "commands/command.h"
#include "commands/nt_kernel.h"
#include "commands/stack_text.h"
#include "commands/text.h"
#include "commands/type_text.h"

namespace commands {

namespace {

// The four words above the return address: where x64 code may have spilled its register arguments.
std::string HomeArea(const Context& context, const debug::Frame& frame) {
  std::string text;
  for (unsigned i = 0; i < 4; ++i) {
    const auto word = context.session.memory().Get<uint64_t>(frame.return_sp + i * 8);
    text += (i == 0 ? "" : " ") + (word ? debug::FormatAddress(*word) : std::string("????????`????????"));
  }
  return text;
}

std::string TrapNote(const Context& context, const debug::Frame& frame) {
  if (frame.machine_frame == 0) return "";
  const auto rip = context.kernel.type("_KTRAP_FRAME").OffsetOf("Rip");
  return rip ? fmt::format(" (TrapFrame @ {})", debug::FormatAddress(frame.machine_frame - *rip)) : "";
}

void PrintParameters(Context& context, const debug::Frame& frame) {
  for (const symbols::Variable& variable : context.session.symbols().VariablesAt(frame.LookupIp())) {
    if (!variable.is_parameter) continue;
    context.out.Line("\t\t\t{}", VariableText(context, frame, variable));
  }
}

base::Result<void> Run(Context& context, const Call& call) {
  size_t limit = 256;
  if (!call.arguments.empty()) limit = TRY(AddressOr(context, call.arguments, limit));
  limit = std::min<size_t>(limit, 4096);
  debug::StackTrace stack;
  const auto registers = context.session.CurrentRegisters();
  if (!registers) return tl::make_unexpected(registers.error());
  stack = context.session.unwinder().Walk(*registers, limit);

  const auto has = [&](char letter) { return call.name.find(letter) != std::string_view::npos; };
  const bool numbers = call.name.size() > 1, arguments = has('v') || has('b'),
             parameters = has('P') || has('p'), lines = !has('L'), stack_pointers = !has('b'),
             only_names = has('c');
  Output& out = context.out;
  if (only_names) {
    out.Line(" # Call Site");
  } else {
    out.Line("{}{}RetAddr           {}Call Site", numbers ? " # " : "",
             stack_pointers ? "Child-SP          " : "",
             arguments ? ": Args to Child                                                           : " : "");
  }
  TableData data{{"frame", "child_sp", "return", "call_site", "source"}, {}};
  for (size_t i = 0; i < stack.frames.size(); ++i) {
    const debug::Frame& frame = stack.frames[i];
    const std::string name = FrameName(context.session.symbols(), frame),
                      source = FrameSource(context.session.symbols(), frame);
    std::string line = numbers ? fmt::format("{:02x} ", i) : "";
    if (!only_names && stack_pointers) line += debug::FormatAddress(frame.child_sp) + " ";
    if (!only_names) line += debug::FormatAddress(frame.return_address) + " ";
    if (arguments) line += ": " + HomeArea(context, frame) + " : ";
    line += name;
    if (lines && !only_names && !source.empty()) line += " [" + source + "]";
    out.WriteLine(line + (has('v') ? TrapNote(context, frame) : ""));
    if (parameters) PrintParameters(context, frame);
    data.rows.push_back({Hex(i), Hex16(frame.child_sp), Hex16(frame.return_address), name, source});
  }
  out.Table(std::move(data));
  if (!stack.stop.empty() && (call.arguments.empty() || stack.frames.size() < limit))
    out.Line("Stack unwind stopped: {}", stack.stop);
  return {};
}

const Registration kRegistration({
    {"k", "kL", "kn", "knL", "kv", "kvL", "kvn", "kb", "kbL", "kbn", "kP", "kPL", "kPn", "kp", "kpL", "kpn",
     "kc"},
    "k [COUNT] | kn | kv | kb | kP | kc, with L",
    "the stack of the current context",
    "Frames from the innermost outward, by unwind data alone. The context is the selected thread's or "
    "processor's, or\n"
    "what .trap or .cxr chose.\n"
    "  kn  with frame numbers\n"
    "  kv  also the four words in which x64 code may have saved its register arguments, and trap frames\n"
    "  kb  the same without stack pointers and trap frames\n"
    "  kc  only the names\n"
    "  L   behind any of these: without source lines (kL, knL)\n"
    "  kP  also parameters with types and values, where the symbols have them at that instruction",
    {"k", "kn 5", "kv", "kP"},
    Run,
});

}  // namespace

}  // namespace commands
