// .sympath, .reload: where symbols come from.
#include "commands/command.h"
#include "commands/text.h"

namespace commands {

namespace {

void PrintPath(Context& context) {
  context.out.Line("Symbol search path is:");
  for (const debug::SymbolPath::Element& element : context.session.symbols().path().elements()) {
    if (element.kind == debug::SymbolPath::Element::Kind::kFolder) {
      context.out.Line("    {}", element.folder);
    } else {
      context.out.Line("    srv*{}*{}", element.folder, element.url);
    }
  }
}

base::Result<void> Run(Context& context, const Call& call) {
  debug::Symbols& symbols = context.session.symbols();
  if (call.name == ".reload") {
    const auto words = SplitWords(call.arguments);
    const std::string wanted = words.empty() || words.back()[0] == '/' ? "*" : words.back();
    for (const auto& module : symbols.modules()) {
      if (module->unloaded ||
          !(MatchesWildcard(module->name, wanted) || EqualsNoCase(module->image_name, wanted)))
        continue;
      symbols.Reload(*module);
      const symbols::Source* source = symbols.Load(*module);
      context.out.Line("{}: {}", module->name,
                       source != nullptr ? std::string(source->file_name()) : module->symbol_message);
    }
    return {};
  }
  if (!call.arguments.empty()) {
    const bool add = call.name == ".sympath+" || call.arguments.starts_with("+");
    const std::string_view text =
        call.arguments.starts_with("+") ? Trim(call.arguments.substr(1)) : call.arguments;
    debug::SymbolPath path = TRY(debug::SymbolPath::Parse(text));
    debug::SymbolPath all = add ? symbols.path() : debug::SymbolPath();
    all.Append(path);
    symbols.SetPath(std::move(all));
  }
  PrintPath(context);
  return {};
}

const Registration kRegistration({
    {".sympath", ".sympath+", ".reload"},
    ".sympath [[+]PATH] | .reload [MODULE]",
    "show or set where symbols are searched; load symbols again",
    "PATH is a folder or srv*CACHE*URL, as for -y and _NT_SYMBOL_PATH; as ';' ends a command here, add "
    "several with\n"
    ".sympath+ PATH, one at a time. .reload tries the modules' symbols again.",
    {".sympath", ".reload nt"},
    Run,
});

}  // namespace

}  // namespace commands
