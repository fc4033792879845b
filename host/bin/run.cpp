// bugcheck run: a fresh machine, one driver, a verdict.
#include <cstdio>
#include <fstream>

#include <fmt/format.h>

#include "bin/options.h"
#include "bin/subcommand.h"
#include "run/paths.h"
#include "run/progress.h"
#include "run/run_driver.h"
#include "run/run_report.h"
#include "run/signals.h"
#include "run/units.h"

namespace bin {
namespace {

constexpr char kFooter[] =
    "Without --keep-running the driver is stopped when none of its threads is left, when they have only "
    "waited for a\n"
    "second, or after 5 s unless they are busy. Exit status: 0 clean; 1 internal error; 2 wrong usage; 3 bug "
    "check\n"
    "(dump written); 4 hang or time-out (dump written); 5 the driver did not load; 6 it left something "
    "behind.";

struct RunArguments {
  MachineArguments machine;
  std::string timeout = "30s";
  std::string keep_running;
  std::string after_unload;
  std::string power_button;
  std::string dump_type = "kernel";
  std::string json;
  bool quiet = false;
  run::RunOptions options;
};

void Declare(CLI::App& app, RunArguments& arguments) {
  arguments.machine.AddTo(app);
  app.add_option("--timeout", arguments.timeout, "how long the driver may take, e.g. 30s (the default)");
  app.add_option("--keep-running", arguments.keep_running,
                 "let the driver run exactly this long, then stop it");
  app.add_option(
      "--after-unload", arguments.after_unload,
      "let the machine run this long after the driver is gone: what it left behind may still come");
  app.add_option(
      "--devnode", arguments.options.devnode,
      "add a root-enumerated device with this hardware identifier for the driver, e.g. ROOT\\Toybus");
  app.add_option(
      "--power-button", arguments.power_button,
      "hold the power button down so long after the start: bug check 0x1C8 of a machine that hangs");
  app.add_option("--live-dump", arguments.options.live_dump_path,
                 "write a dump there while the driver works, without stopping the machine (0x161)");
  app.add_flag("--watch-kernel", arguments.options.watch_kernel,
               "a change of the kernel's code or interrupt table is bug check 0x109");
  app.add_option("--drive-c", arguments.options.drive_c,
                 "folder behind C: (default: a fresh one, removed afterwards)");
  app.add_option("--dump", arguments.options.dump_path, "where to write the crash dump");
  app.add_option("--dump-type", arguments.dump_type, "full or kernel (the default)")
      ->check(CLI::IsMember({"full", "kernel"}));
  app.add_option("--json", arguments.json, "write the verdict there (docs/run-json.md); - is stdout");
  app.add_option("--console", arguments.options.console_path, "write the guest's console text there");
  app.add_option("--trace", arguments.options.trace_path, "write the events of ETW providers there, as text");
  app.add_flag("--quiet,-q", arguments.quiet, "no progress");
  app.add_option("driver", arguments.options.driver, "the driver's image, DRIVER.sys")->required();
  app.footer(kFooter);
}

base::Result<void> Resolve(RunArguments& arguments) {
  arguments.options.machine = TRY(arguments.machine.Resolve());
  arguments.options.timeout = TRY_WRAP("--timeout", run::ParseDuration(arguments.timeout));
  if (!arguments.keep_running.empty()) {
    arguments.options.keep_running = TRY_WRAP("--keep-running", run::ParseDuration(arguments.keep_running));
  }
  if (!arguments.after_unload.empty()) {
    arguments.options.after_unload = TRY_WRAP("--after-unload", run::ParseDuration(arguments.after_unload));
  }
  if (!arguments.power_button.empty()) {
    arguments.options.power_button = TRY_WRAP("--power-button", run::ParseDuration(arguments.power_button));
  }
  if (arguments.dump_type == "full") arguments.options.dump_type = dump::DumpType::kFull;
  return {};
}

// False when the file cannot be written.
bool WriteText(const std::string& path, const std::string& text) {
  if (path == "-") return std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  std::ofstream file(path, std::ios::trunc);
  file << text;
  file.close();
  return !file.fail();
}

}  // namespace

int RunMain(const Arguments& arguments) {
  RunArguments parsed;
  CLI::App app("Runs one driver in a fresh machine and says how it went", "bugcheck run");
  Declare(app, parsed);
  if (auto status = Parse(app, arguments)) return *status;
  if (auto resolved = Resolve(parsed); !resolved) return UsageError(resolved.error().message);
  auto guest = run::GuestFolder();
  if (!guest) return ReportError(guest.error().message);
  parsed.options.machine.guest_folder = *guest;
  if (!parsed.json.empty() && parsed.json != "-" && !WriteText(parsed.json, "")) {
    return ReportError(fmt::format("cannot write {}: {}", parsed.json, strerror(errno)));
  }
  const base::UniqueFd interrupts = run::BlockInterrupts();
  parsed.options.interrupt_fd = interrupts.get();
  const bool silent = parsed.quiet || parsed.json == "-";
  run::Progress progress(silent ? run::Progress::Mode::kSilent : run::Progress::Detect());
  const run::RunResult result = run::RunDriver(parsed.options, progress);
  if (parsed.json != "-") fmt::print("{}", run::ReportText(parsed.options, result));
  std::fflush(stdout);
  if (result.outcome != run::Outcome::kClean && result.outcome != run::Outcome::kBugcheck)
    ReportError(result.message);
  if (!parsed.json.empty() && !WriteText(parsed.json, run::ReportJson(parsed.options, result))) {
    return ReportError(fmt::format("cannot write {}", parsed.json));
  }
  return run::ExitStatusOf(result);
}

}  // namespace bin
