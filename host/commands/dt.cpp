// dt: types and typed memory.
#include <charconv>

#include "commands/command.h"
#include "commands/text.h"
#include "commands/type_text.h"
#include "debug/expression.h"

namespace commands {

namespace {

constexpr int kMaxDepth = 8;

struct Request {
  std::string name, field;
  std::string address;
  int depth = 0;
};

// -r, -r2 anywhere among the words.
Request Parse(const std::vector<std::string>& words) {
  Request request;
  for (const std::string& word : words) {
    if (word.starts_with("-r")) {
      request.depth = 1;
      if (word.size() > 2) std::from_chars(word.data() + 2, word.data() + word.size(), request.depth);
      request.depth = std::min(request.depth, kMaxDepth);
    } else if (request.name.empty()) {
      request.name = word;
    } else if (request.address.empty()) {
      request.address = word;
    } else {
      request.field = word;
    }
  }
  return request;
}

base::Result<void> ListTypes(Context& context, const std::string& pattern) {
  const size_t bang = pattern.find('!');
  const std::string module_name = bang == std::string::npos ? "nt" : pattern.substr(0, bang);
  debug::Module* module = context.session.symbols().ModuleNamed(module_name);
  if (module == nullptr) return base::Fail(module_name + ": no such module");
  const symbols::Source* source = context.session.symbols().Load(*module);
  if (source == nullptr) return base::Fail(module_name + ": no symbols: " + module->symbol_message);
  const std::string names = bang == std::string::npos ? pattern : pattern.substr(bang + 1);
  size_t shown = 0;
  source->ForEachType([&](symbols::TypeId, const symbols::Type& type) {
    if (MatchesWildcard(type.name, names)) {
      context.out.Line("          {}!{}", module->name, type.name);
      ++shown;
    }
    return shown < 1000;
  });
  if (shown == 0) return base::Fail(pattern + ": no type matches");
  return {};
}

base::Result<void> Run(Context& context, const Call& call) {
  Request request = Parse(SplitWords(call.arguments));
  if (request.name.empty()) return base::Fail("usage: dt [MODULE!]TYPE [ADDRESS] [FIELD] [-r[DEPTH]]");
  if (request.name.find('*') != std::string::npos) return ListTypes(context, request.name);
  const debug::Symbols& symbols = context.session.symbols();
  auto type = symbols.FindType(request.name);
  uint64_t address = 0;
  TypePrintOptions options{request.depth, request.field, false};
  if (!type) {
    // Not a type: a variable with its type.
    const auto variable = symbols.Global(request.name);
    if (!variable || !variable->type().valid()) return tl::make_unexpected(type.error());
    type = variable->type();
    address = variable->address();
    options.with_values = true;
    if (options.field.empty()) options.field = request.address;
  } else if (!request.address.empty()) {
    const auto value = debug::Evaluate(context.session, request.address);
    const auto second =
        value || request.field.empty() ? value : debug::Evaluate(context.session, request.field);
    if (value) {
      address = *value;
      options.with_values = true;
    } else if (second) {
      options.field = request.address;  // dt nt!_KTHREAD State ADDRESS
      address = *second;
      options.with_values = true;
    } else if (request.field.empty()) {
      options.field = request.address;  // dt nt!_KTHREAD State
    } else {
      return tl::make_unexpected(value.error());
    }
  }
  const debug::Type complete = symbols.Complete(*type);
  const debug::Object object = symbols.ObjectAt(complete, address);
  if (!complete.IsRecord()) {
    context.out.Line("{}{}", TypeText(complete), options.with_values ? " " + ValueText(object) : "");
    for (const symbols::Enumerator& e : complete.source().Enumerators(complete.id())) {
      context.out.Line("   {} = 0n{}", e.name, e.value);
    }
    return {};
  }
  if (options.with_values && !context.session.memory().Get<uint8_t>(address))
    context.out.WriteLine(MemoryReadError(address));
  const size_t bang = request.name.find('!');
  context.out.Line("{}!{}", bang == std::string::npos ? "nt" : request.name.substr(0, bang),
                   complete.info().name);
  PrintMembers(context, object, options);
  return {};
}

const Registration kRegistration({
    {"dt"},
    "dt [MODULE!]TYPE [FIELD] [ADDRESS] [FIELD] [-r[DEPTH]]",
    "a type's members, or a structure in memory",
    "Without ADDRESS: offsets and types. With it: values. A name of a global variable shows that variable.\n"
    "  FIELD      only members whose names begin so\n"
    "  -r[DEPTH]  opens nested structures and arrays (1 level, or DEPTH up to 8)\n"
    "A pattern with * lists the types that match. Values: 0x hexadecimal, 0n decimal, 0y binary "
    "(bit-fields).",
    {"dt nt!_LIST_ENTRY", "dt nt!_KTHREAD @$thread State", "dt nt!_KTHREAD @$thread -r", "dt nt!_KPR*"},
    Run,
});

}  // namespace

}  // namespace commands
