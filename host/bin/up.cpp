// bugcheck up | down | status: the default machine, which keeps its C: and registry between runs.
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "bin/options.h"
#include "bin/subcommand.h"
#include "run/client.h"
#include "run/paths.h"
#include "run/run_report.h"
#include "run/signals.h"
#include "run/supervisor.h"

namespace bin {
namespace {

constexpr char kMachine[] = "default";

// The machine on this terminal, with its console, until it ends or Ctrl-C.
base::Result<int> Foreground(run::SupervisorOptions options) {
  const base::UniqueFd interrupts = run::BlockInterrupts();
  run::MachineOptions machine_options = options.machine;
  const std::string folder = run::MachineFolder(options.name);
  machine_options.drive_c = folder + "/C";
  machine_options.log_path = folder + "/console.log";
  machine_options.trace_path = folder + "/trace.log";
  TRY(run::PrepareDriveC(machine_options.drive_c));
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
    if (machine->state() == last) continue;
    last = machine->state();
    fmt::print(stderr, "bugcheck: the machine is {}\n", run::StateText(last));
  }
  if (machine->interrupted() && machine->state() == boot::MachineState::kReady) {
    (void)machine->ShutDown(run::Clock::now() + std::chrono::seconds(10));
  }
  fmt::print(stderr, "bugcheck: {}\n", machine->Whereabouts());
  if (machine->condition() == run::Condition::kCrashed) {
    machine->Kill();
    fmt::print(stderr, "{}", run::StopText(machine->channel().stop_facts(), ""));
    const std::string path = run::HostPath(machine_options.drive_c, "C:\\Windows\\MEMORY.DMP");
    TRY(dump::WriteDump(machine->ram(), machine->channel().dump_description(), options.dump_type, path));
    fmt::print(stderr, "bugcheck: the dump is {}\n", path);
    return kBugcheck;
  }
  const bool ended_well =
      machine->condition() == run::Condition::kStopped || machine->condition() == run::Condition::kRunning;
  return ended_well ? kClean : kInternalError;
}

// Runs in the daemon: starts the machine, tells the parent how that went, serves.
[[noreturn]] void Daemon(const run::SupervisorOptions& options, int report) {
  setsid();
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null, fd);
  const base::UniqueFd interrupts = run::BlockInterrupts();
  auto supervisor = run::Supervisor::Start(options, interrupts.get());
  const std::string text = supervisor ? "+" + (*supervisor)->Summary() : "-" + supervisor.error().message;
  [[maybe_unused]] const ssize_t written = write(report, text.data(), text.size());
  close(report);
  if (!supervisor) _exit(kInternalError);
  if (chdir("/") == 0) (*supervisor)->Serve();
  supervisor->reset();
  _exit(kClean);
}

int Background(const run::SupervisorOptions& options) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ReportError(fmt::format("cannot make a pipe: {}", strerror(errno)));
  const pid_t child = fork();
  if (child < 0) return ReportError(fmt::format("cannot start the supervisor: {}", strerror(errno)));
  if (child == 0) {
    close(ends[0]);
    Daemon(options, ends[1]);
  }
  close(ends[1]);
  std::string report;
  char buffer[512];
  for (ssize_t got = 0; (got = read(ends[0], buffer, sizeof(buffer))) > 0;) report.append(buffer, got);
  close(ends[0]);
  if (report.empty()) return ReportError("cannot start the supervisor: it ended at once");
  if (report[0] != '+') {
    waitpid(child, nullptr, 0);
    return ReportError(report.substr(1));
  }
  fmt::print("the {} machine is up: {}\n", options.name, report.substr(1));
  return kClean;
}

}  // namespace

int UpMain(const Arguments& arguments) {
  MachineArguments machine;
  run::SupervisorOptions options;
  bool foreground = false;
  std::string dump_type = "kernel";
  CLI::App app("Starts the default machine; it keeps its C: and registry between runs", "bugcheck up");
  machine.AddTo(app);
  app.add_option("--dump-type", dump_type, "full or kernel (the default)")
      ->check(CLI::IsMember({"full", "kernel"}));
  app.add_flag("--foreground", foreground, "stay on this terminal and show the console; Ctrl-C shuts down");
  if (auto status = Parse(app, arguments)) return *status;
  auto resolved = machine.Resolve();
  if (!resolved) return UsageError(resolved.error().message);
  options.name = kMachine;
  options.machine = *resolved;
  if (dump_type == "full") options.dump_type = dump::DumpType::kFull;
  auto guest = run::GuestFolder();
  if (!guest) return ReportError(guest.error().message);
  options.machine.guest_folder = *guest;
  if (!foreground) return Background(options);
  auto status = Foreground(options);
  return status ? *status : ReportError(status.error().message);
}

int DownMain(const Arguments& arguments) {
  CLI::App app("Shuts the default machine down; nothing on its C: is lost", "bugcheck down");
  if (auto status = Parse(app, arguments)) return *status;
  auto client = run::MachineClient::Connect(kMachine);
  if (!client) return ReportError("cannot shut down: " + client.error().message);
  auto reply = client->Call(run::Rpc::kDown);
  if (!reply) return ReportError("cannot shut down: " + reply.error().message);
  client->WaitForEnd();
  switch (static_cast<run::RpcOutcome>(reply->kind)) {
    case run::RpcOutcome::kAnswered:
      fmt::print("the {} machine is down\n", kMachine);
      return kClean;
    case run::RpcOutcome::kCrashed:
      fmt::print("{}", reply->payload);
      return kBugcheck;
    case run::RpcOutcome::kFailed:
      break;
  }
  return ReportError("the machine did not shut down cleanly: " + reply->payload);
}

int StatusMain(const Arguments& arguments) {
  bool as_json = false;
  CLI::App app("Says whether the default machine is up. Exit status: 0 up, 1 down, 3 it crashed",
               "bugcheck status");
  app.add_flag("--json", as_json, "as JSON");
  if (auto status = Parse(app, arguments)) return *status;
  auto client = run::MachineClient::Connect(kMachine);
  auto reply = client ? client->Call(run::Rpc::kStatus) : base::Result<run::RpcMessage>(base::Fail(""));
  if (!reply) {
    const run::LastMachine last = run::LastEnd(kMachine);
    if (as_json) {
      fmt::print(
          "{}\n",
          nlohmann::ordered_json{{"state", "down"}, {"end", last.end}, {"detail", last.detail}}.dump());
    } else if (last.end.empty()) {
      fmt::print("the {} machine is down\n", kMachine);
    } else {
      fmt::print("the {} machine is down: {}\n{}", kMachine, last.end, last.detail);
      if (!last.detail.empty() && last.detail.back() != '\n') fmt::print("\n");
    }
    return last.crashed ? kBugcheck : kInternalError;
  }
  if (as_json) {
    fmt::print("{}\n", reply->payload);
    return kClean;
  }
  const auto json = nlohmann::json::parse(reply->payload, nullptr, false);
  fmt::print("the {} machine is up and {}: {} processors, {} MiB, {}, for {:.1f} s\n", kMachine,
             json.value("state", ""), json.value("processors", 0), json.value("memory", uint64_t{0}) >> 20,
             json.value("accelerator", ""), json.value("uptime_seconds", 0.0));
  fmt::print("drive C:     {}\nconsole      {}\n", json.value("drive_c", ""), json.value("console", ""));
  return kClean;
}

}  // namespace bin
