// bugcheck shell: a prompt on the running machine.
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>

#include <readline/history.h>
#include <readline/readline.h>
#include <strings.h>
#include <unistd.h>

#include <fmt/format.h>

#include "bin/device_commands.h"
#include "bin/machine_commands.h"
#include "bin/options.h"
#include "run/paths.h"

namespace bin {
namespace {

constexpr char kHelp[] =
    "sc create NAME type= kernel binPath= PATH   sc start|stop|query|delete NAME\n"
    "driverquery            the images that are loaded\n"
    "dir [PATH]             a folder of C:\n"
    "type FILE              a file of C:\n"
    "proc start|stop|thread|list ...      programs that drivers see (proc alone: how)\n"
    "objdir [DIRECTORY]     the object manager's names, e.g. objdir \\Device\n"
    "verifier FLAGS [DRIVER.sys ...]   Driver Verifier for drivers that are started from now on\n"
    "devnode [list]         the tree of devices\n"
    "devnode add HARDWARE-ID [SERVICE]     a device that no bus finds; devnode map HARDWARE-ID SERVICE: what "
    "an "
    "INF says\n"
    "devnode remove|surprise-remove|restart|rescan|eject INSTANCE\n"
    "power [sleep [1-4] | wake | source ac|dc]\n"
    "crash                  stops the machine with bug check 0xE2 (the dump goes to "
    "C:\\Windows\\MEMORY.DMP)\n"
    "help, exit\n";
constexpr char kPrompt[] = "C:\\>";

// Words, with "double quotes" around blanks.
Arguments Split(const std::string& line) {
  Arguments words;
  std::string word;
  bool quoted = false;
  bool any = false;
  for (const char c : line + " ") {
    if (c == '"') {
      quoted = !quoted;
      any = true;
    } else if ((c == ' ' || c == '\t' || c == '\r') && !quoted) {
      if (any) words.push_back(word);
      word.clear();
      any = false;
    } else {
      word += c;
      any = true;
    }
  }
  return words;
}

class LineReader {
 public:
  LineReader() : terminal_(isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0) {
    if (!terminal_) return;
    history_ = run::StateFolder() + "/shell_history";
    read_history(history_.c_str());
  }
  ~LineReader() {
    if (terminal_) write_history(history_.c_str());
  }
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  std::optional<std::string> Next() {
    std::string line;
    if (!terminal_) return std::getline(std::cin, line) ? std::optional(line) : std::nullopt;
    char* text = readline(kPrompt);
    if (text == nullptr) {
      fmt::print("\n");
      return std::nullopt;
    }
    line = text;
    if (!line.empty()) add_history(text);
    std::free(text);
    return line;
  }

 private:
  bool terminal_;
  std::string history_;
};

std::string FullPath(const std::string& path) {
  if (path.empty()) return "C:\\";
  if (path.size() > 1 && path[1] == ':') return path;
  return path[0] == '\\' ? "C:" + path : "C:\\" + path;
}

int Execute(run::MachineClient& client, const std::string& drive_c, const Arguments& words) {
  const auto is = [&](const char* name) { return strcasecmp(words[0].c_str(), name) == 0; };
  const Arguments rest(words.begin() + 1, words.end());
  const std::string first = rest.empty() ? "" : rest[0];
  if (is("sc") || is("sc.exe")) {
    if (!rest.empty()) return ScCommand(client, drive_c, rest);
    PrintScHelp();
    return kUsageError;
  }
  if (is("driverquery")) return DriverQueryCommand(client);
  if (is("dir")) return DirCommand(client, FullPath(first));
  if (is("type") && !rest.empty()) return TypeCommand(client, FullPath(first));
  if (is("objdir")) return DevicesCommand(client, first.empty() ? "\\" : first);
  if (is("proc")) return ProcCommand(client, rest);
  if (is("verifier")) return VerifierCommand(client, rest);
  if (is("devnode")) return DevnodeCommand(client, rest);
  if (is("power")) return PowerCommand(client, rest);
  if (is("crash")) return CrashCommand(client);
  if (is("help") || is("?")) {
    fmt::print("{}", kHelp);
    return kClean;
  }
  fmt::print(stderr, "bugcheck: unknown command: {} (see help)\n", words[0]);
  return kUsageError;
}

}  // namespace

int ShellMain(const Arguments& arguments) {
  CLI::App app("A prompt on the running machine; reads commands from stdin too", "bugcheck shell");
  app.footer(kHelp);
  if (auto status = Parse(app, arguments)) return *status;
  auto client = run::MachineClient::Connect("default");
  if (!client) return ReportError("shell: " + client.error().message);
  const std::string drive_c = run::MachineFolder("default") + "/C";
  LineReader reader;
  int status = kClean;
  while (auto line = reader.Next()) {
    const Arguments words = Split(*line);
    if (words.empty()) continue;
    if (strcasecmp(words[0].c_str(), "exit") == 0 || strcasecmp(words[0].c_str(), "quit") == 0) break;
    status = Execute(*client, drive_c, words);
    std::fflush(stdout);
    if (status == kBugcheck) break;  // there is no machine any more
  }
  return status;
}

}  // namespace bin
