// x: symbols by pattern.
#include "commands/command.h"
#include "commands/text.h"

namespace commands {

namespace {

constexpr size_t kMaxShown = 5000;

base::Result<void> Run(Context& context, const Call& call) {
  if (call.arguments.empty()) return base::Fail("usage: x MODULE!PATTERN");
  std::string pattern(call.arguments);
  if (pattern.find('!') == std::string::npos) pattern = "nt!" + pattern;
  if (pattern.ends_with("!")) pattern += "*";
  const auto matches = TRY(context.session.symbols().Match(pattern, kMaxShown));
  TableData data{{"address", "symbol"}, {}};
  for (const debug::ResolvedSymbol& symbol : matches) {
    context.out.Line("{}          {}", debug::FormatAddress(symbol.address), symbol.FullName());
    data.rows.push_back({Hex16(symbol.address), symbol.FullName()});
  }
  context.out.Table(std::move(data));
  if (matches.empty()) context.out.Line("No symbol matches {}", pattern);
  if (matches.size() == kMaxShown) context.out.Line("... cut after {} symbols", kMaxShown);
  return {};
}

const Registration kRegistration({
    {"x"},
    "x MODULE!PATTERN",
    "symbols whose names match a pattern",
    "* and ? in PATTERN, ignoring case; without a module the kernel's symbols.",
    {"x nt!Ps*List*", "x nt!Ki*"},
    Run,
});

}  // namespace

}  // namespace commands
