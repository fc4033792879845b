#include "commands/repl.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>

#include <readline/history.h>
#include <readline/readline.h>
#include <unistd.h>

#include "commands/text.h"

namespace commands {

namespace {

Interpreter* g_interpreter = nullptr;  // for readline's callback, which has no argument of ours
std::vector<std::string> g_matches;

char* NextMatch(const char*, int state) {
  return static_cast<size_t>(state) < g_matches.size() ? strdup(g_matches[state].c_str()) : nullptr;
}

char** CompleteWord(const char* text, int, int) {
  rl_attempted_completion_over = 1;
  rl_completion_append_character = '\0';
  g_matches = g_interpreter->Complete(text);
  return g_matches.empty() ? nullptr : rl_completion_matches(text, NextMatch);
}

std::string HistoryFile() {
  const char* state = std::getenv("XDG_STATE_HOME");
  const char* home = std::getenv("HOME");
  std::filesystem::path folder;
  if (state != nullptr && *state != 0)
    folder = state;
  else if (home != nullptr && *home != 0)
    folder = std::filesystem::path(home) / ".local/state";
  else
    return "";
  std::error_code error;
  std::filesystem::create_directories(folder / "bugcheck", error);
  return error ? "" : folder / "bugcheck" / "debug_history";
}

void Print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

void RunPiped(Interpreter& interpreter) {
  std::string line;
  while (std::getline(std::cin, line)) {
    Output out(Print);
    if (interpreter.RunLine(line, out).quit) break;
  }
}

volatile std::sig_atomic_t g_interrupted = 0;

// Ctrl-C at the prompt drops the line that was being typed; while a command runs it ends the debugger.
int DropLineWhenInterrupted() {
  if (g_interrupted == 0) return 0;
  g_interrupted = 0;
  rl_replace_line("", 0);
  rl_crlf();
  rl_on_new_line();
  rl_redisplay();
  return 0;
}

char* ReadLine(const std::string& prompt) {
  const auto previous = std::signal(SIGINT, [](int) { g_interrupted = 1; });
  char* line = readline(prompt.c_str());
  std::signal(SIGINT, previous);
  return line;
}

}  // namespace

void RunPrompt(Interpreter& interpreter) {
  if (isatty(STDIN_FILENO) == 0) return RunPiped(interpreter);
  g_interpreter = &interpreter;
  rl_readline_name = "bugcheck";
  rl_attempted_completion_function = CompleteWord;
  rl_completer_word_break_characters = " \t\n\"';()+-*/@";
  rl_signal_event_hook = DropLineWhenInterrupted;
  using_history();
  const std::string history = HistoryFile();
  if (!history.empty()) read_history(history.c_str());
  for (;;) {
    char* line = ReadLine(interpreter.Prompt());
    if (line == nullptr) {
      Print("\n");
      break;
    }
    const std::string text(line);
    std::free(line);
    if (!Trim(text).empty()) add_history(text.c_str());
    Output out(Print);
    const bool quit = interpreter.RunLine(text, out).quit;
    std::fflush(stdout);
    if (quit) break;
  }
  if (!history.empty()) {
    stifle_history(1000);
    write_history(history.c_str());
  }
}

}  // namespace commands
