// Runs command lines: splits them at ';', finds the command, reports errors.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "commands/command.h"

namespace commands {

class Interpreter {
 public:
  explicit Interpreter(debug::Session& session);
  ~Interpreter();

  struct Outcome {
    bool quit = false;
    bool failed = false;  // an error line was printed
  };
  // One line, several commands. Errors go to `out` as lines of their own and do not stop the rest.
  Outcome RunLine(std::string_view line, Output& out);
  // One command.
  Outcome Run(std::string_view command, Output& out);

  // "5: kd> "
  std::string Prompt() const;
  // Names (commands, or symbols once a '!' is typed behind a module's name) that begin with `prefix`.
  std::vector<std::string> Complete(std::string_view prefix) const;

  nt::Kernel& kernel() { return *kernel_; }
  debug::Session& session() { return session_; }

 private:
  debug::Session& session_;
  std::unique_ptr<nt::Kernel> kernel_;
};

// "a; b 'x;y'" -> {"a", "b 'x;y'"}; ';' inside quotes does not split.
std::vector<std::string> SplitCommands(std::string_view line);

}  // namespace commands
