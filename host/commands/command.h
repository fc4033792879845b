// The command registry. A command is one file with one `const Registration`: names, help and the function
// that runs it. `.hh`, `!help` and `bugcheck debug --list-commands` are made from the same records.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "commands/output.h"
#include "debug/session.h"

namespace nt {
class Kernel;
}

namespace commands {

struct Context {
  debug::Session& session;
  nt::Kernel& kernel;  // what is known about NT above raw memory
  Output& out;
  bool quit = false;
};

// How a command was called: `name` is the name that was typed ("kn"), `arguments` the rest, trimmed.
struct Call {
  std::string_view name;
  std::string_view arguments;
};

struct Command {
  std::vector<std::string_view> names;     // the first is the one that help shows
  std::string_view usage;                  // "!mex.t [ADDRESS]"
  std::string_view summary;                // one line, no full stop
  std::string_view description;            // what each column or option means
  std::vector<std::string_view> examples;  // command lines; each must work on any dump
  base::Result<void> (*run)(Context&, const Call&);
};

struct Registration {
  explicit Registration(Command command);
};

// Sorted by name, ignoring leading punctuation.
const std::vector<const Command*>& AllCommands();
// Exactly `name`; else ignoring case; else nullptr.
const Command* FindCommand(std::string_view name);

// Help pages.
std::string HelpText(const Command& command);
std::string CommandsMarkdown();

// Options and positional words of a command line. An option that is not asked for is an error (Finish).
class Arguments {
 public:
  explicit Arguments(std::string_view text);
  bool Flag(std::string_view name);  // "-t", also "/t"
  base::Result<std::string> Value(
      std::string_view name);  // "-wr LIST"; "" when absent, an Error without value
  // What is left once all options were asked for; an Error for an unknown option.
  base::Result<std::vector<std::string>> Finish();

 private:
  std::vector<std::string> words_;
};

// Evaluates `text`; where it is empty gives `fallback`.
base::Result<uint64_t> AddressOr(Context& context, std::string_view text, uint64_t fallback);

// A command that looked and found no such thing: prints why; no failure of the command itself.
base::Result<void> SayWhyNot(Context& context, const base::Result<void>& result);

// The debugger's own wording for unreadable memory: "Memory read error at ffff8000`00001000".
std::string MemoryReadError(uint64_t address);

}  // namespace commands
