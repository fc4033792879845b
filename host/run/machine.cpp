#include "run/machine.h"

#include <algorithm>
#include <cerrno>

#include <sys/signalfd.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/mapped_file.h"
#include "qemu/accelerator.h"
#include "qemu/command_line.h"

namespace run {
namespace {

constexpr int kPollSliceMs = 50;  // rings are looked at this often even if a doorbell were lost
constexpr size_t kMaxEarlyLine = 1024;
constexpr char kStubMark[] = "boot stub: ";
constexpr int kMonitorTimeoutMs = 3000;

int RemainingMs(Deadline deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, kPollSliceMs));
}

bool IsText(char c) {
  return c == '\n' || c == '\t' || (c >= ' ' && c <= '~');
}

}  // namespace

const char* StateText(boot::MachineState state) {
  switch (state) {
    case boot::MachineState::kPrepared:
      return "not started (firmware)";
    case boot::MachineState::kStubEntered:
      return "in the boot stub";
    case boot::MachineState::kKernelEntered:
      return "in the kernel's first steps";
    case boot::MachineState::kConsoleUp:
      return "initialising";
    case boot::MachineState::kProcessorsUp:
      return "initialising with all processors";
    case boot::MachineState::kReady:
      return "ready";
    case boot::MachineState::kShuttingDown:
      return "shutting down";
    case boot::MachineState::kStopped:
      return "stopped";
    case boot::MachineState::kCrashing:
      return "writing down a bug check";
    case boot::MachineState::kCrashed:
      return "crashed";
  }
  return "in an unknown state";
}

base::Result<std::unique_ptr<Machine>> Machine::Start(const MachineOptions& options) {
  std::unique_ptr<Machine> machine(new Machine);
  for (const std::string& device : options.devices) {
    if (qemu::FindDevice(device) == nullptr) {
      return base::Fail(fmt::format("cannot start the machine: there is no device '{}'; there are: {}",
                                    device, qemu::DeviceNames()));
    }
  }
  const std::string program = qemu::FindQemu();
  if (program.empty()) {
    return base::Fail(
        "cannot start the machine: qemu-system-x86_64 is not in PATH (Debian package qemu-system-x86)");
  }
  const std::string kernel_path =
      options.kernel.empty() ? options.guest_folder + "/ntoskrnl.exe" : options.kernel;
  const auto kernel = TRY_WRAP("cannot start the machine", base::MappedFile::Open(kernel_path));
  const std::string hostfs_path = options.guest_folder + "/hostfs.sys";
  base::MappedFile hostfs;
  if (options.kernel.empty() || access(hostfs_path.c_str(), R_OK) == 0) {
    hostfs = TRY_WRAP("cannot start the machine", base::MappedFile::Open(hostfs_path));
  }
  const auto choice =
      TRY_WRAP("cannot start the machine",
               qemu::ChooseAccelerator(options.accelerator, program, options.guest_folder + "/probe.elf",
                                       options.cache_folder));
  machine->accelerator_text_ =
      fmt::format("{} ({})", qemu::AcceleratorName(choice.accelerator), choice.reason);

  machine->ram_ = TRY(boot::GuestRam::Create(options.memory));
  boot::LoaderOptions load;
  load.kernel = kernel.bytes();
  if (hostfs.size() != 0) load.files.push_back({"hostfs.sys", hostfs.bytes()});
  load.processors = options.processors;
  load.accelerator = choice.accelerator;
  load.build_number = options.build_number;
  load.verifier_flags = options.verifier_flags;
  load.options = options.boot_options;
  load.pci = !options.devices.empty();
  machine->loaded_ = TRY_WRAP("cannot start the machine", boot::LoadMachine(machine->ram_, load));
  machine->channel_ = TRY(ControlChannel::Attach(machine->ram_, machine->loaded_.control_physical));
  machine->log_ = TRY(ConsoleLog::Open(options.log_path));
  machine->trace_path_ = options.trace_path;
  std::remove(options.trace_path.c_str());  // of an earlier run

  qemu::MachineConfig config;
  config.program = program;
  config.stub = options.guest_folder + "/boot.elf";
  config.memory = options.memory;
  config.processors = options.processors;
  config.accelerator = choice.accelerator;
  config.drive_c = options.drive_c;
  config.devices = options.devices;
  if (access(config.stub.c_str(), R_OK) != 0) {
    return base::FailErrno("cannot start the machine: " + config.stub, errno);
  }
  machine->process_ = TRY(qemu::Process::Start(config, machine->ram_.fd()));
  return machine;
}

Machine::~Machine() {
  Kill();
}

void Machine::Kill() {
  process_.child().Kill();
}

void Machine::EndCrashed(const std::function<void()>& write_dump) {
  constexpr auto kCallbacksLimit = std::chrono::seconds(2);
  const bool callbacks = channel_.CrashCallbacksWait();
  if (!callbacks) Kill();
  write_dump();
  if (!callbacks) return;
  channel_.StartCrashCallbacks();
  const Deadline end = Clock::now() + kCallbacksLimit;
  while (!channel_.CrashCallbacksDone() && !process_.child().ended() && Clock::now() < end) {
    pollfd doorbell = {process_.debug_console(), POLLIN, 0};
    char ring[64];
    if (poll(&doorbell, 1, 10) > 0 && read(doorbell.fd, ring, sizeof(ring)) <= 0) break;
  }
  if (auto text = channel_.ReadConsole()) log_.Append(*text);
  Kill();
}

void Machine::Break(const std::string& why) {
  if (condition_ != Condition::kRunning) return;
  condition_ = Condition::kBroken;
  failure_ = why;
  Kill();
}

void Machine::ReadDebugConsole() {
  char buffer[4096];
  for (;;) {
    const ssize_t got = read(process_.debug_console(), buffer, sizeof(buffer));
    if (got <= 0) return;
    // Once the console ring is up, a byte here is only a doorbell.
    if (channel_.state() >= boot::MachineState::kConsoleUp) continue;
    for (const char c : std::string_view(buffer, got)) {
      if (!IsText(c)) continue;
      early_line_ += c;
      if (c != '\n' && early_line_.size() < kMaxEarlyLine) continue;
      log_.Append(early_line_);
      if (early_line_.starts_with(kStubMark))
        Break("the machine cannot start: " + early_line_.substr(0, early_line_.size() - 1));
      early_line_.clear();
    }
  }
}

// The file is made when the first event comes; one that cannot be made loses the trace, not the run.
void Machine::AppendTrace(const std::string& text) {
  if (text.empty() || trace_path_.empty()) return;
  if (!trace_) {
    auto opened = ConsoleLog::Open(trace_path_);
    if (!opened) {
      trace_path_.clear();
      return;
    }
    trace_ = std::move(*opened);
  }
  trace_->Append(text);
}

void Machine::ReadRings() {
  if (condition_ != Condition::kRunning) return;
  // The state first: all that was written before it is then seen.
  const boot::MachineState state = channel_.state();
  auto text = channel_.ReadConsole();
  if (!text) return Break(text.error().message);
  log_.Append(*text);
  auto trace = channel_.ReadTrace();
  if (!trace) return Break(trace.error().message);
  AppendTrace(*trace);
  for (;;) {
    auto message = channel_.ReadMessage();
    if (!message) return Break(message.error().message);
    if (!*message) break;
    const IncomingMessage& incoming = **message;
    if (incoming.id == 0) {
      if (event_handler_) event_handler_(incoming);
      continue;
    }
    const auto waiting = pending_.find(incoming.id);
    if (waiting == pending_.end()) continue;
    const ReplyHandler handler = std::move(waiting->second);
    pending_.erase(waiting);
    if (handler) handler({incoming.status, incoming.payload});
  }
  if (state == boot::MachineState::kStopped) condition_ = Condition::kStopped;
  if (state == boot::MachineState::kCrashed) condition_ = Condition::kCrashed;
}

void Machine::NoteEnd() {
  if (condition_ != Condition::kRunning || !process_.child().WaitForEnd(0)) return;
  ReadRings();
  if (condition_ != Condition::kRunning) return;
  condition_ = Condition::kDied;
  const std::string output = process_.child().Output();
  failure_ =
      fmt::format("QEMU ended ({}){}{}", process_.child().EndText(), output.empty() ? "" : ": ", output);
  if (output.empty()) failure_ += ": the machine reset itself (triple fault) or was killed";
}

void Machine::Pump(int timeout_ms, std::vector<pollfd>* extra) {
  std::vector<pollfd> fds;
  if (!process_.child().ended()) {
    fds.push_back({process_.debug_console(), POLLIN, 0});
    fds.push_back({process_.child().pidfd(), POLLIN, 0});
  }
  const size_t interrupt_index = fds.size();
  if (interrupt_fd_ >= 0) fds.push_back({interrupt_fd_, POLLIN, 0});
  const size_t extra_index = fds.size();
  if (extra != nullptr) fds.insert(fds.end(), extra->begin(), extra->end());
  if (poll(fds.data(), fds.size(), timeout_ms) > 0) {
    if (interrupt_fd_ >= 0 && fds[interrupt_index].revents != 0) {
      signalfd_siginfo taken;
      interrupted_ = read(interrupt_fd_, &taken, sizeof(taken)) > 0 || interrupted_;
    }
    if (extra != nullptr) std::copy(fds.begin() + extra_index, fds.end(), extra->begin());
  }
  ReadDebugConsole();
  ReadRings();
  NoteEnd();
}

bool Machine::PumpUntil(Deadline deadline, const std::function<bool()>& done) {
  while (!done()) {
    if (condition_ != Condition::kRunning || interrupted_ || Clock::now() >= deadline) return done();
    Pump(RemainingMs(deadline));
  }
  return true;
}

base::Result<void> Machine::Post(boot::Request kind, const std::string& payload, ReplyHandler handler) {
  const uint32_t id = next_id_++;
  if (next_id_ == 0) next_id_ = 1;
  auto sent = channel_.Send(kind, id, payload);
  if (!sent) {
    Break(sent.error().message);
    return base::Fail(sent.error().message);
  }
  if (!*sent) return base::Fail("the machine does not take requests: its request ring is full");
  pending_[id] = std::move(handler);
  process_.RingDoorbell();
  return {};
}

base::Result<Reply> Machine::Call(boot::Request kind, const std::string& payload, Deadline deadline) {
  auto reply = std::make_shared<std::optional<Reply>>();
  TRY(Post(kind, payload, [reply](const Reply& answer) { *reply = answer; }));
  if (PumpUntil(deadline, [&] { return reply->has_value(); })) return **reply;
  if (interrupted_) return base::Fail("interrupted");
  switch (condition_) {
    case Condition::kCrashed:
      return base::Fail("the machine crashed");
    case Condition::kStopped:
      return base::Fail("the machine has shut down");
    case Condition::kDied:
    case Condition::kBroken:
      return base::Fail(failure_);
    case Condition::kRunning:
      break;
  }
  return base::Fail("the machine did not answer in time");
}

bool Machine::WaitReady(Deadline deadline) {
  return PumpUntil(deadline, [this] {
    return state() == boot::MachineState::kReady && condition_ == Condition::kRunning;
  });
}

bool Machine::InjectNmi(Deadline deadline, boot::NmiReason reason) {
  if (condition_ != Condition::kRunning) return condition_ == Condition::kCrashed;
  channel_.SetNmiReason(reason);
  // A refusal shows as a machine that does not crash, which is what the caller is told.
  (void)process_.Command(R"({"execute":"inject-nmi"})", kMonitorTimeoutMs);
  interrupted_ = false;
  PumpUntil(deadline, [] { return false; });
  return condition_ == Condition::kCrashed;
}

base::Result<void> Machine::ShutDown(Deadline deadline) {
  if (condition_ == Condition::kStopped) return {};
  interrupted_ = false;  // the interrupt may be the reason for shutting down; a second one ends the wait
  TRY(Post(boot::Request::kShutdown, "", nullptr));
  PumpUntil(deadline, [] { return false; });
  if (condition_ != Condition::kStopped) {
    return base::Fail(fmt::format("the machine did not shut down: {}", Whereabouts()));
  }
  Kill();
  return {};
}

std::string Machine::Whereabouts() const {
  switch (condition_) {
    case Condition::kStopped:
      return "it has stopped";
    case Condition::kCrashed:
      return fmt::format("it stopped with bug check {:#X}", channel_.stop_facts().code);
    case Condition::kDied:
    case Condition::kBroken:
      return failure_;
    case Condition::kRunning:
      break;
  }
  const uint64_t step = channel_.boot_step();
  if (step != 0 && channel_.state() < boot::MachineState::kReady) {
    return fmt::format("it is {}, in the step at {:#x}", StateText(channel_.state()), step);
  }
  return fmt::format("it is {}", StateText(channel_.state()));
}

}  // namespace run
