#include "commands/interpreter.h"

#include <algorithm>
#include <cctype>

#include "commands/nt_kernel.h"
#include "commands/text.h"

namespace commands {

Interpreter::Interpreter(debug::Session& session)
    : session_(session), kernel_(std::make_unique<nt::Kernel>(session)) {}
Interpreter::~Interpreter() = default;

std::vector<std::string> SplitCommands(std::string_view line) {
  std::vector<std::string> commands;
  std::string current;
  char quote = 0;
  for (char c : line) {
    if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == ';' || c == '\n') {
      commands.push_back(std::move(current));
      current.clear();
      continue;
    }
    current += c;
  }
  commands.push_back(std::move(current));
  std::vector<std::string> trimmed;
  for (const std::string& command : commands) {
    if (const auto text = Trim(command); !text.empty()) trimmed.emplace_back(text);
  }
  return trimmed;
}

namespace {

// The command's own word and the rest: "?@rip" and "~2s" need no blank behind the name.
Call SplitCall(std::string_view text) {
  if (text.starts_with("~")) return {"~", Trim(text.substr(1))};
  if (text.starts_with("??")) return {"??", Trim(text.substr(2))};
  if (text.starts_with("?") && text != "?") return {"?", Trim(text.substr(1))};
  size_t end = 0;
  while (end < text.size() && !std::isspace(static_cast<unsigned char>(text[end]))) ++end;
  return {text.substr(0, end), Trim(text.substr(end))};
}

// "kn10" is kn with 10; "db@rsp" and "u@rip" have no blank either.
const Command* FindGlued(Call& call) {
  for (size_t length = call.name.size() - 1; length > 0; --length) {
    const unsigned char next = call.name[length];
    const bool pattern = EqualsNoCase(call.name.substr(0, length), "lmDvm");  // as WinDbg's links write it
    if (next != '@' && !pattern && !(std::isdigit(next) && call.name[0] == 'k') && next != '"') continue;
    if (const Command* command = FindCommand(call.name.substr(0, length))) {
      const char* end = call.arguments.empty() ? call.name.data() + call.name.size()
                                               : call.arguments.data() + call.arguments.size();
      call.arguments = {call.name.data() + length, static_cast<size_t>(end - call.name.data() - length)};
      call.name = call.name.substr(0, length);
      return command;
    }
  }
  return nullptr;
}

}  // namespace

Interpreter::Outcome Interpreter::Run(std::string_view text, Output& out) {
  text = Trim(text);
  if (text.empty() || text.starts_with("*")) return {};
  Call call = SplitCall(text);
  const Command* command = FindCommand(call.name);
  if (command == nullptr) command = FindGlued(call);
  Outcome outcome;
  if (command == nullptr) {
    out.Line("{}: no such command (!help lists them)", call.name);
    outcome.failed = true;
    return outcome;
  }
  if (session_.target().is_live()) kernel_->Refresh();
  Context context{session_, *kernel_, out};
  if (const base::Result<void> result = command->run(context, call); !result) {
    out.Line("{}: {}", call.name, result.error().message);
    outcome.failed = true;
  }
  outcome.quit = context.quit;
  return outcome;
}

Interpreter::Outcome Interpreter::RunLine(std::string_view line, Output& out) {
  Outcome total;
  for (const std::string& command : SplitCommands(line)) {
    const Outcome one = Run(command, out);
    total.failed |= one.failed;
    total.quit |= one.quit;
    if (total.quit) break;
  }
  return total;
}

std::string Interpreter::Prompt() const {
  return fmt::format("{}: kd> ", session_.current_processor());
}

std::vector<std::string> Interpreter::Complete(std::string_view prefix) const {
  std::vector<std::string> names;
  for (const Command* command : AllCommands()) {
    for (std::string_view name : command->names) {
      if (name.starts_with(prefix)) names.emplace_back(name);
    }
  }
  const size_t bang = prefix.find('!');
  if (bang != std::string_view::npos && bang > 0) {
    if (const auto matches = session_.symbols().Match(std::string(prefix) + "*", 200)) {
      for (const debug::ResolvedSymbol& symbol : *matches) names.push_back(symbol.FullName());
    }
  } else {
    for (const auto& module : session_.symbols().modules()) {
      if (module->name.starts_with(prefix)) names.push_back(module->name + "!");
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

}  // namespace commands
