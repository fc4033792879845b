// .echo: text.
#include "commands/command.h"

namespace commands {

namespace {

base::Result<void> Run(Context& context, const Call& call) {
  std::string_view text = call.arguments;
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  context.out.Line("{}", text);
  return {};
}

const Registration kRegistration({
    {".echo"},
    ".echo TEXT",
    "print text",
    "For scripts. Quotes keep a ';' in the text.",
    {".echo \"a; b\""},
    Run,
});

}  // namespace

}  // namespace commands
