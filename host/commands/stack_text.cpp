#include "commands/stack_text.h"

#include <algorithm>

#include "commands/text.h"

namespace commands {

std::string FrameName(const debug::Symbols& symbols, const debug::Frame& frame) {
  const FrameSymbol symbol = SymbolOf(symbols, frame);
  if (symbol.module == nullptr) return symbols.Describe(frame.ip);
  if (symbol.function.empty())
    return fmt::format("{}+0x{:x}", symbol.module->name, frame.ip - symbol.module->base);
  if (symbol.displacement == 0) return symbol.module->name + "!" + symbol.function;
  return fmt::format("{}!{}+0x{:x}", symbol.module->name, symbol.function, symbol.displacement);
}

FrameSymbol SymbolOf(const debug::Symbols& symbols, const debug::Frame& frame) {
  FrameSymbol result;
  result.module = symbols.ModuleAt(frame.ip);
  if (result.module == nullptr) return result;
  const auto symbol = symbols.At(frame.LookupIp());
  if (!symbol) return result;
  result.function = symbol->name;
  result.displacement = frame.ip - symbol->address;
  return result;
}

std::string FrameSource(const debug::Symbols& symbols, const debug::Frame& frame) {
  const auto line = symbols.LineAt(frame.LookupIp());
  return line ? fmt::format("{} @ {}", line->file, line->line) : "";
}

void PrintMexStack(Output& out, const debug::Symbols& symbols, const debug::StackTrace& stack) {
  std::vector<std::string> names, sources;
  size_t name_width = 9;
  bool any_source = false;
  for (const debug::Frame& frame : stack.frames) {
    names.push_back(FrameName(symbols, frame));
    sources.push_back(FrameSource(symbols, frame));
    name_width = std::max(name_width, names.back().size());
    any_source |= !sources.back().empty();
  }
  const size_t digits = stack.frames.size() > 0x10 ? Hex(stack.frames.size() - 1).size() : 1;
  const size_t width = any_source ? name_width : 0;
  out.Line("{:>{}} {:16} {:16} {:{}}{}", "#", digits, "Child-SP", "Return", "Call Site", width,
           any_source ? " Source" : "");
  TableData data{{"#", "Child-SP", "Return", "Call Site", "Source"}, {}};
  for (size_t i = 0; i < stack.frames.size(); ++i) {
    const debug::Frame& frame = stack.frames[i];
    out.Line("{:>{}} {} {} {:{}} {}", Hex(i), digits, Hex16(frame.child_sp), Hex16(frame.return_address),
             names[i], width, sources[i]);
    data.rows.push_back({Hex(i), Hex16(frame.child_sp), Hex16(frame.return_address), names[i], sources[i]});
  }
  out.Table(std::move(data));
  if (!stack.stop.empty()) out.Line("Stack unwind stopped: {}", stack.stop);
}

}  // namespace commands
