// u, ub, uf: disassembly.
#include "commands/command.h"
#include "commands/memory_range.h"
#include "commands/text.h"
#include "debug/disassembler.h"
#include "debug/expression.h"

namespace commands {

namespace {

uint64_t g_next = 0;
constexpr size_t kMaxInstructions = 20000;

void PrintLines(Context& context, const std::vector<debug::Instruction>& instructions) {
  std::string last_line;
  const debug::Symbols& symbols = context.session.symbols();
  for (size_t i = 0; i < instructions.size(); ++i) {
    const auto symbol = symbols.At(instructions[i].address);
    if (i == 0 || (symbol && symbol->displacement == 0))
      context.out.Line("{}:", symbols.Describe(instructions[i].address));
    const auto source = symbols.LineAt(instructions[i].address);
    const std::string line = source ? fmt::format("{} @ {}", source->file, source->line) : "";
    if (!line.empty() && line != last_line) context.out.Line(" [{}]", line);
    last_line = line;
    context.out.WriteLine(debug::Disassembler::FormatLine(instructions[i]));
  }
}

// The function around `address`: by unwind data, else by its symbol.
std::pair<uint64_t, uint64_t> FunctionRange(Context& context, uint64_t address) {
  if (const debug::Module* module = context.session.symbols().ModuleAt(address)) {
    if (const auto entry = context.session.unwinder().FunctionAt(*module, address)) {
      return {module->base + entry->begin, module->base + entry->end};
    }
  }
  if (const auto symbol = context.session.symbols().At(address); symbol && symbol->size != 0) {
    return {symbol->address, symbol->address + symbol->size};
  }
  return {address, 0};
}

base::Result<std::vector<debug::Instruction>> WholeFunction(Context& context,
                                                            const debug::Disassembler& disassembler,
                                                            uint64_t address) {
  const auto [begin, end] = FunctionRange(context, address);
  std::vector<debug::Instruction> instructions;
  uint64_t at = begin;
  while (instructions.size() < kMaxInstructions && (end == 0 || at < end)) {
    const auto instruction = disassembler.Decode(at);
    if (!instruction) {
      if (instructions.empty()) return tl::make_unexpected(instruction.error());
      break;
    }
    at += std::max<size_t>(instruction->bytes.size(), 1);
    instructions.push_back(*instruction);
    // Without a known end: up to the first return.
    if (end == 0 && (instruction->is_return || !instruction->valid)) break;
  }
  return instructions;
}

base::Result<void> Run(Context& context, const Call& call) {
  if (g_next == 0)
    g_next = context.session.CurrentRegisters().map([](const auto& r) { return r.rip; }).value_or(0);
  const MemoryRange range = TRY(ParseRange(context, call.arguments, g_next, 8, 1));
  const debug::Disassembler disassembler(context.session.symbols());
  std::vector<debug::Instruction> instructions;
  if (call.name == "uf") {
    instructions = TRY(WholeFunction(context, disassembler, range.address));
  } else if (call.name == "ub") {
    instructions = TRY(disassembler.Backward(range.address, range.count));
  } else {
    instructions = TRY(disassembler.Forward(range.address, range.count));
  }
  PrintLines(context, instructions);
  if (!instructions.empty() && call.name == "u")
    g_next = instructions.back().address + instructions.back().bytes.size();
  return {};
}

const Registration kRegistration({
    {"u", "ub", "uf"},
    "u [ADDRESS [LCOUNT]] | ub ADDRESS | uf ADDRESS",
    "disassembly",
    "u shows instructions from ADDRESS on (8, or COUNT), and goes on behind them when it gets no address; ub "
    "the ones\n"
    "before ADDRESS; uf the whole function. Source lines are shown where the symbols have them.",
    {"u @rip", "ub @rip L3", "uf @rip"},
    Run,
});

}  // namespace

}  // namespace commands
