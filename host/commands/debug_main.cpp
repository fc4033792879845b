#include "commands/debug_main.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "commands/interpreter.h"
#include "commands/nt_system.h"
#include "commands/repl.h"
#include "commands/system_lines.h"
#include "commands/text.h"

namespace commands {

namespace {

constexpr const char* kUsage =
    "usage: bugcheck debug [-c 'CMD; CMD'] [-y SYMPATH] [--json] FILE.dmp|--live\n"
    "\n"
    "Reads a Windows kernel crash dump, or the machine that `bugcheck up` started.\n"
    "  -c 'CMD; CMD'   runs these commands and ends (may be repeated)\n"
    "  -y SYMPATH      where symbols are searched, before _NT_SYMBOL_PATH: folders and srv*CACHE*URL, "
    "separated by ';'\n"
    "  --json          with -c: one JSON object: {\"target\", \"commands\": [{\"command\", \"failed\", "
    "\"output\": [lines],\n"
    "                  \"facts\": {name: value}, \"tables\": [{\"columns\", \"rows\"}]}]}\n"
    "  --live          the running default machine\n"
    "  --list-commands all commands with their manual pages, as Markdown\n"
    "\n"
    "Without -c a prompt opens; !help lists the commands, .hh CMD explains one, q leaves.\n"
    "Exit status: 0; 1 the target cannot be read or a command of -c failed; 2 wrong usage.\n";

base::Result<void> ParseLive(std::string_view value, DebugOptions& options) {
  const size_t comma = value.find(',');
  if (comma == std::string_view::npos) return base::Fail("--live-ram=FD,PHYSICAL expected");
  const std::string_view fd = value.substr(0, comma);
  std::string_view header = value.substr(comma + 1);
  if (header.starts_with("0x")) header.remove_prefix(2);
  const auto first = std::from_chars(fd.data(), fd.data() + fd.size(), options.live_ram);
  const auto second = std::from_chars(header.data(), header.data() + header.size(), options.live_header, 16);
  if (first.ec != std::errc() || second.ec != std::errc())
    return base::Fail("--live-ram=FD,PHYSICAL expected");
  return {};
}

}  // namespace

base::Result<DebugOptions> ParseDebugOptions(const std::vector<std::string>& arguments) {
  DebugOptions options;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    const bool has_value = i + 1 < arguments.size();
    if (word == "-c" || word == "-y") {
      if (!has_value) return base::Fail(word + ": value missing");
      if (word == "-c") {
        options.scripts.push_back(arguments[++i]);
      } else {
        options.symbol_path += (options.symbol_path.empty() ? "" : ";") + arguments[++i];
      }
    } else if (word == "--json") {
      options.json = true;
    } else if (word == "--list-commands") {
      options.list_commands = true;
    } else if (word == "--help" || word == "-h") {
      options.help = true;
    } else if (word.starts_with("--live-ram=")) {
      TRY(ParseLive(std::string_view(word).substr(11), options));
    } else if (word == "-z" && has_value) {
      options.dump = arguments[++i];  // kd's own spelling
    } else if (word.size() > 1 && word[0] == '-') {
      return base::Fail(word + ": unknown option");
    } else if (options.dump.empty()) {
      options.dump = word;
    } else {
      return base::Fail(word + ": one dump at a time");
    }
  }
  if (options.help || options.list_commands) return options;
  if (options.dump.empty() && options.live_ram < 0) return base::Fail("which dump? (FILE.dmp or --live)");
  if (!options.dump.empty() && options.live_ram >= 0) return base::Fail("either a dump or --live");
  if (options.json && options.scripts.empty()) return base::Fail("--json needs -c");
  return options;
}

namespace {

// Where the project's own kernel and its symbols lie: $BUGCHECK_GUEST_DIR, else beside the program.
std::string OwnSymbols() {
  namespace fs = std::filesystem;
  std::string path;
  auto add = [&](const fs::path& folder) {
    std::error_code error;
    if (fs::is_directory(folder, error))
      path += (path.empty() ? "" : ";") + folder.lexically_normal().string();
  };
  if (const char* guest = std::getenv("BUGCHECK_GUEST_DIR"); guest != nullptr && *guest != 0) add(guest);
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    add(program.parent_path() / "../guest");
    add(program.parent_path() / "../share/bugcheck/guest");
  }
  return path;
}

}  // namespace

base::Result<std::unique_ptr<debug::Session>> OpenSession(const DebugOptions& options) {
  debug::SessionOptions session;
  session.symbol_path = options.symbol_path;
  const std::string own = OwnSymbols();
  if (!own.empty()) session.symbol_path += (session.symbol_path.empty() ? "" : ";") + own;
  if (options.live_ram >= 0) {
    auto target = TRY(debug::OpenLive(options.live_ram, options.live_header));
    return debug::Session::Open(std::move(target), session);
  }
  std::error_code error;
  const auto absolute = std::filesystem::absolute(options.dump, error);
  session.image_folder = error ? "" : absolute.parent_path().string();
  auto target = TRY(debug::OpenDump(options.dump));
  return debug::Session::Open(std::move(target), session);
}

namespace {

void PrintStdout(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

void PrintBanner(Interpreter& interpreter) {
  debug::Session& session = interpreter.session();
  Output out(PrintStdout);
  Context context{session, interpreter.kernel(), out};
  out.Blank();
  out.Line("Target: {}", session.target().description());
  for (const std::string& warning : session.warnings()) out.Line("Warning! {}", warning);
  out.Line("{}", nt::VersionLine(interpreter.kernel()));
  out.Line("Kernel base = {} PsLoadedModuleList = {}", TickAddress(session.kernel().base),
           TickAddress(session.kernel().loaded_module_list));
  out.Line("Debug session time: {}", SessionTimeLine(context));
  out.Line("System Uptime: {}", Uptime(UptimeUnits(context)));
  if (HasBugcheck(context)) {
    out.Line("Bugcheck: {}", BugcheckLine(context));
    out.Line("Use !analyze -v to get detailed debugging information; !help lists the commands.");
  } else {
    out.Line("!help lists the commands.");
  }
  out.Blank();
}

std::string JsonList(const std::vector<std::string>& items) {
  std::string text = "[";
  for (size_t i = 0; i < items.size(); ++i) text += (i == 0 ? "" : ", ") + JsonString(items[i]);
  return text + "]";
}

std::string JsonCommand(const std::string& command, bool failed, const Output& out) {
  std::vector<std::string> lines;
  std::string_view text = out.text();
  while (!text.empty()) {
    const size_t end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  std::string facts, tables;
  for (const auto& [name, value] : out.facts())
    facts += (facts.empty() ? "" : ", ") + JsonString(name) + ": " + JsonString(value);
  for (const TableData& table : out.tables()) {
    std::string rows;
    for (const auto& row : table.rows) rows += (rows.empty() ? "" : ", ") + JsonList(row);
    tables += (tables.empty() ? "" : ", ") +
              fmt::format("{{\"columns\": {}, \"rows\": [{}]}}", JsonList(table.columns), rows);
  }
  return fmt::format(
      "{{\"command\": {}, \"failed\": {}, \"output\": {}, \"facts\": {{{}}}, \"tables\": [{}]}}",
      JsonString(command), failed ? "true" : "false", JsonList(lines), facts, tables);
}

// Every command in its turn; true when all went well.
bool RunScripts(Interpreter& interpreter, const DebugOptions& options) {
  bool good = true, first = true;
  if (options.json) {
    fmt::print("{{\"target\": {}, \"commands\": [", JsonString(interpreter.session().target().description()));
  }
  for (const std::string& script : options.scripts) {
    for (const std::string& command : SplitCommands(script)) {
      Output kept, direct(PrintStdout);
      Output& out = options.json ? kept : direct;
      if (!options.json) direct.Line("{}{}{}", first ? "" : "\n", interpreter.Prompt(), command);
      const Interpreter::Outcome outcome = interpreter.Run(command, out);
      if (options.json) fmt::print("{}\n{}", first ? "" : ",", JsonCommand(command, outcome.failed, kept));
      first = false;
      good = good && !outcome.failed;
      if (outcome.quit) {
        if (options.json) fmt::print("]}}\n");
        return good;
      }
    }
  }
  if (options.json) fmt::print("]}}\n");
  return good;
}

}  // namespace

int DebugMain(const std::vector<std::string>& arguments) {
  const auto options = ParseDebugOptions(arguments);
  if (!options) {
    fmt::print(stderr, "bugcheck: debug: {} (see bugcheck debug --help)\n", options.error().message);
    return 2;
  }
  if (options->help) {
    fmt::print("{}", kUsage);
    return 0;
  }
  if (options->list_commands) {
    fmt::print("{}", CommandsMarkdown());
    return 0;
  }
  const auto session = OpenSession(*options);
  if (!session) {
    fmt::print(stderr, "bugcheck: debug: {}\n", session.error().message);
    return 1;
  }
  Interpreter interpreter(**session);
  if (!options->scripts.empty()) {
    for (const std::string& warning : (*session)->warnings())
      fmt::print(stderr, "bugcheck: debug: warning: {}\n", warning);
    return RunScripts(interpreter, *options) ? 0 : 1;
  }
  PrintBanner(interpreter);
  RunPrompt(interpreter);
  return 0;
}

}  // namespace commands
