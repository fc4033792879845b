// ln: nearest symbols.
#include "commands/command.h"
#include "commands/text.h"

namespace commands {

namespace {

// The first symbol behind `address` in the same module.
std::string NextSymbol(const debug::Symbols& symbols, uint64_t address) {
  debug::Module* module = symbols.ModuleAt(address);
  const symbols::Source* source = module != nullptr ? symbols.Load(*module) : nullptr;
  std::string next;
  if (source == nullptr) return next;
  source->ForEachSymbol([&](const symbols::Symbol& symbol) {
    if (module->base + symbol.rva <= address) return true;
    next = fmt::format("   |  ({})   {}!{}", debug::FormatAddress(module->base + symbol.rva), module->name,
                       symbol.name);
    return false;
  });
  return next;
}

base::Result<void> Run(Context& context, const Call& call) {
  const auto registers = context.session.CurrentRegisters();
  const uint64_t address = TRY(AddressOr(context, call.arguments, registers ? registers->rip : 0));
  const debug::Symbols& symbols = context.session.symbols();
  if (const auto line = symbols.LineAt(address))
    context.out.Line("{}({}){}", line->file, line->line,
                     line->displacement != 0 ? fmt::format("+0x{:x}", line->displacement) : "");
  const auto symbol = symbols.At(address);
  if (!symbol) {
    context.out.Line("{}   {}", debug::FormatAddress(address), symbols.Describe(address));
    return {};
  }
  context.out.Line("({})   {}{}{}", debug::FormatAddress(symbol->address), symbol->FullName(),
                   symbol->displacement != 0 ? fmt::format("+0x{:x}", symbol->displacement) : "",
                   NextSymbol(symbols, address));
  if (symbol->displacement == 0) context.out.Line("Exact matches:\n    {}", symbol->FullName());
  return {};
}

const Registration kRegistration({
    {"ln"},
    "ln [ADDRESS]",
    "the symbol and source line at or before an address",
    "Without ADDRESS the current instruction.",
    {"ln", "ln nt!PsLoadedModuleList"},
    Run,
});

}  // namespace

}  // namespace commands
