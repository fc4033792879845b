// lm: loaded modules.
#include "commands/command.h"
#include "commands/text.h"

namespace commands {

namespace {

std::string SymbolText(const debug::Module& module) {
  switch (module.symbol_state) {
    case debug::SymbolState::kDeferred:
      return "(deferred)";
    case debug::SymbolState::kPdb:
    case debug::SymbolState::kIsf:
      return fmt::format("({} symbols)          {}",
                         module.symbol_state == debug::SymbolState::kPdb ? "pdb" : "isf",
                         module.symbols ? std::string(module.symbols->file_name()) : "");
    case debug::SymbolState::kExports:
      return "(export symbols)       " + module.image_name;
    case debug::SymbolState::kNone:
      break;
  }
  return "(no symbols)";
}

void PrintDetails(Output& out, const debug::Module& module) {
  out.Line("    Loaded symbol image file: {}", module.image_name);
  out.Line("    Image path: {}", module.path);
  out.Line("    Image name: {}", module.image_name);
  out.Line("    Timestamp:        {}", StampText(module.time_date_stamp));
  out.Line("    CheckSum:         {:08X}", module.checksum);
  out.Line("    ImageSize:        {:08X}", module.size);
  if (module.code_view) {
    out.Line("    PDB:              {} {}", module.code_view->PdbName(), module.code_view->id.StoreKey());
  }
  if (!module.symbol_message.empty()) out.Line("    Symbols:          {}", module.symbol_message);
}

base::Result<void> Run(Context& context, const Call& call) {
  std::vector<std::string> words = SplitWords(call.arguments);
  bool verbose = call.name.find('v') != std::string_view::npos;
  std::string pattern = "*";
  bool loaded = true;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "v" || words[i] == "-v")
      verbose = true;
    else if ((words[i] == "m" || words[i] == "-m") && i + 1 < words.size())
      pattern = words[++i];
    else if (words[i] == "u")
      loaded = false;
    else if (words[i] != "k" && words[i] != "n" && words[i] != "t")
      pattern = words[i];
  }
  context.out.Line("{:<17} {:<17}   module name", "start", "end");
  TableData data{{"start", "end", "name", "image", "symbols"}, {}};
  for (const auto& module : context.session.symbols().modules()) {
    if (!loaded || module->unloaded || !MatchesWildcard(module->name, pattern)) continue;
    if (verbose) context.session.symbols().Load(*module);
    const std::string symbols = SymbolText(*module);
    context.out.Line("{} {}   {:<10} {}", debug::FormatAddress(module->base),
                     debug::FormatAddress(module->end()), module->name, symbols);
    data.rows.push_back(
        {Hex16(module->base), Hex16(module->end()), module->name, module->image_name, symbols});
    if (verbose) PrintDetails(context.out, *module);
  }
  context.out.Table(std::move(data));
  bool heading = false;
  for (const auto& module : context.session.symbols().modules()) {
    if (!module->unloaded || !MatchesWildcard(module->name, pattern)) continue;
    if (!heading) context.out.Line("\nUnloaded modules:");
    heading = true;
    context.out.Line("{} {}   {}", debug::FormatAddress(module->base), debug::FormatAddress(module->end()),
                     module->image_name);
  }
  return {};
}

const Registration kRegistration({
    {"lm", "lmv", "lmvm", "lmDvm", "lmD", "lmm", "lmn", "lmt", "lmk"},
    "lm [v] [u] [m PATTERN] | lmvm NAME",
    "loaded modules, and where their symbols come from",
    "(deferred): symbols not looked for yet. v opens them and shows path, time stamp, checksum, and for "
    "missing or\n"
    "mismatched symbols the reason. u: only the unloaded ones.\nm PATTERN: only modules whose names match (* "
    "and ?).",
    {"lm", "lm m nt", "lmvm nt"},
    Run,
});

}  // namespace

}  // namespace commands
