// bugcheck up: starts the default machine. --foreground keeps it on this terminal with its console.
#include <cstdio>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "bin/subcommand.h"
#include "run/machine.h"
#include "run/paths.h"
#include "run/signals.h"

namespace bin {
namespace {

struct UpOptions {
  run::MachineOptions machine;
  bool foreground = false;
  std::string memory = "256M";
};

base::Result<int> Foreground(const UpOptions& options, run::MachineOptions machine_options) {
  const base::UniqueFd interrupts = run::BlockInterrupts();
  auto machine = TRY(run::Machine::Start(machine_options));
  machine->set_interrupt_fd(interrupts.get());
  machine->log().SetEcho([](std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  });
  fmt::print(stderr, "bugcheck: accelerator {}\n", machine->accelerator_text());
  boot::MachineState last = boot::MachineState::kPrepared;
  while (machine->condition() == run::Condition::kRunning && !machine->interrupted()) {
    machine->Pump(100);
    if (machine->state() != last) {
      last = machine->state();
      fmt::print(stderr, "bugcheck: the machine is {}\n", run::StateText(last));
    }
  }
  if (machine->interrupted() && machine->state() == boot::MachineState::kReady) {
    (void)machine->ShutDown(run::Clock::now() + std::chrono::seconds(10));
  }
  fmt::print(stderr, "bugcheck: {}\n", machine->Whereabouts());
  if (machine->condition() == run::Condition::kCrashed) {
    const boot::StopFacts stop = machine->channel().stop_facts();
    fmt::print(stderr, "bugcheck: STOP {:#x} ({:#x}, {:#x}, {:#x}, {:#x}) processor {} irql {} at {:#x} {}\n",
               stop.code, stop.parameters[0], stop.parameters[1], stop.parameters[2], stop.parameters[3],
               stop.processor, stop.irql, stop.instruction, stop.driver);
    return kBugcheck;
  }
  return machine->condition() == run::Condition::kRunning ? kClean : kInternalError;
}

}  // namespace

int UpMain(const Arguments& arguments) {
  UpOptions options;
  CLI::App app("Starts the default machine", "bugcheck up");
  app.add_option("--cpus", options.machine.processors, "processors")->check(CLI::Range(1, 32));
  app.add_option("--accel", options.machine.accelerator, "auto, tcg, kvm or icount");
  app.add_option("--kernel", options.machine.kernel, "another kernel image");
  app.add_option("--boot-options", options.machine.boot_options, "name=value name=value");
  app.add_flag("--foreground", options.foreground, "stay, show the console");
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kClean : kUsageError;
  }
  auto guest = run::GuestFolder();
  if (!guest) return ReportError(guest.error().message);
  options.machine.guest_folder = *guest;
  const std::string folder = run::MachineFolder("default");
  options.machine.drive_c = folder + "/C";
  options.machine.log_path = folder + "/console.log";
  options.machine.cache_folder = run::CacheFolder();
  if (auto made = run::PrepareDriveC(options.machine.drive_c); !made)
    return ReportError(made.error().message);
  auto status = Foreground(options, options.machine);
  return status ? *status : ReportError(status.error().message);
}

}  // namespace bin
