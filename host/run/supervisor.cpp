#include "run/supervisor.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "run/nt_status.h"
#include "run/paths.h"
#include "run/rpc.h"
#include "run/run_report.h"

namespace run {
namespace {

constexpr auto kBootLimit = std::chrono::seconds(30);
constexpr auto kShutdownLimit = std::chrono::seconds(30);
constexpr auto kNmiLimit = std::chrono::seconds(20);
constexpr int kMonitorTimeoutMs = 3000;
constexpr char kDumpOnC[] = "C:\\Windows\\MEMORY.DMP";
constexpr size_t kMaxClients = 64;

}  // namespace

base::Result<std::unique_ptr<Supervisor>> Supervisor::Start(const SupervisorOptions& options,
                                                            int interrupt_fd) {
  std::unique_ptr<Supervisor> supervisor(new Supervisor(options));
  supervisor->folder_ = MachineFolder(options.name);
  TRY(MakeFolder(supervisor->folder_));
  const std::string lock_path = supervisor->folder_ + "/lock";
  supervisor->lock_.Reset(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!supervisor->lock_) return base::FailErrno("cannot open " + lock_path, errno);
  if (flock(supervisor->lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return base::Fail(fmt::format("cannot start the {0} machine: it is already up", options.name));
  }
  MachineOptions machine_options = options.machine;
  machine_options.drive_c = supervisor->folder_ + "/C";
  machine_options.log_path = supervisor->folder_ + "/console.log";
  machine_options.trace_path = supervisor->folder_ + "/trace.log";
  TRY(PrepareDriveC(machine_options.drive_c));
  supervisor->options_.machine = machine_options;
  supervisor->machine_ = TRY(Machine::Start(machine_options));
  supervisor->machine_->set_interrupt_fd(interrupt_fd);
  if (!supervisor->machine_->WaitReady(Clock::now() + kBootLimit)) {
    const std::string where = supervisor->machine_->Whereabouts();
    if (supervisor->machine_->condition() == Condition::kCrashed) supervisor->WriteCrash();
    return base::Fail(
        fmt::format("the machine did not start: {}; its console is in {}", where, machine_options.log_path));
  }
  TRY(supervisor->Listen());
  supervisor->WriteState("", "");
  return supervisor;
}

Supervisor::~Supervisor() {
  if (!socket_path_.empty()) unlink(socket_path_.c_str());
}

std::string Supervisor::Summary() const {
  return fmt::format("{} processors, {} MiB, {}", options_.machine.processors, options_.machine.memory >> 20,
                     machine_->accelerator_text());
}

base::Result<void> Supervisor::Listen() {
  const std::string path = MachineSocket(options_.name);
  TRY(MakeFolder(std::filesystem::path(path).parent_path().string()));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path))
    return base::Fail("the path of the machine's socket is too long: " + path);
  std::memcpy(address.sun_path, path.c_str(), path.size());
  listener_.Reset(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  unlink(path.c_str());  // we hold the lock: a socket that is there belongs to a supervisor that was killed
  const mode_t mask = umask(0177);
  const bool bound =
      listener_ && bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  const int error = errno;
  umask(mask);
  if (!bound || listen(listener_.get(), 16) != 0)
    return base::FailErrno("cannot listen on " + path, bound ? errno : error);
  socket_path_ = path;
  return {};
}

void Supervisor::Accept() {
  base::UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket || clients_.size() >= kMaxClients) return;
  auto client = std::make_shared<Client>();
  client->socket = std::move(socket);
  clients_.push_back(std::move(client));
}

void Supervisor::Answer(const std::weak_ptr<Client>& client, RpcOutcome outcome, int32_t status,
                        const std::string& payload, int fd) {
  // A client that has gone away is noticed when its socket is polled.
  if (auto alive = client.lock())
    (void)SendRpc(alive->socket.get(), static_cast<uint32_t>(outcome), status, payload, fd);
}

bool Supervisor::TakeRequest(Client& client) {
  auto request = ReceiveRpc(client.socket.get());
  if (!request) return false;
  std::weak_ptr<Client> weak;
  for (const auto& known : clients_) {
    if (known.get() == &client) weak = known;
  }
  const auto answered = static_cast<int32_t>(0);
  switch (static_cast<Rpc>(request->kind)) {
    case Rpc::kStatus:
      Answer(weak, RpcOutcome::kAnswered, answered, StatusJson());
      return true;
    case Rpc::kAttach:
      Answer(weak, RpcOutcome::kAnswered, answered, AttachJson(), machine_->ram().fd());
      return true;
    case Rpc::kDown:
      client.waits_for_end = true;
      going_down_ = true;
      return true;
    case Rpc::kNmi:
      client.waits_for_end = true;
      machine_->InjectNmi(Clock::now() + kNmiLimit);
      return true;
    case Rpc::kPause:
    case Rpc::kResume: {
      const bool pause = static_cast<Rpc>(request->kind) == Rpc::kPause;
      auto done = machine_->process().Command(pause ? R"({"execute":"stop"})" : R"({"execute":"cont"})",
                                              kMonitorTimeoutMs);
      Answer(weak, done ? RpcOutcome::kAnswered : RpcOutcome::kFailed, answered,
             done ? "" : done.error().message);
      return true;
    }
  }
  const uint64_t ticket = next_wait_++;
  waiting_[ticket] = weak;
  auto posted = machine_->Post(static_cast<boot::Request>(request->kind), request->payload,
                               [this, ticket](const Reply& reply) {
                                 Answer(waiting_[ticket], RpcOutcome::kAnswered, reply.status, reply.payload);
                                 waiting_.erase(ticket);
                               });
  if (!posted) {
    Answer(weak, RpcOutcome::kFailed, 0, posted.error().message);
    waiting_.erase(ticket);
  }
  return true;
}

void Supervisor::Serve() {
  while (machine_->condition() == Condition::kRunning && !machine_->interrupted() && !going_down_) {
    std::vector<pollfd> fds{{listener_.get(), POLLIN, 0}};
    for (const auto& client : clients_) fds.push_back({client->socket.get(), POLLIN, 0});
    machine_->Pump(1000, &fds);
    std::vector<std::shared_ptr<Client>> gone;
    const auto polled = std::vector(clients_);
    for (size_t i = 0; i < polled.size(); i++) {
      if (fds[i + 1].revents != 0 && !TakeRequest(*polled[i])) gone.push_back(polled[i]);
    }
    for (const auto& client : gone) std::erase(clients_, client);
    if (fds[0].revents != 0) Accept();
  }
  Finish();
}

void Supervisor::Finish() {
  std::string end;
  std::string text;
  auto outcome = RpcOutcome::kAnswered;
  if (machine_->condition() == Condition::kRunning) {
    auto done = machine_->ShutDown(Clock::now() + kShutdownLimit);
    // One that hangs gets a dump at least.
    const bool hangs = !done && machine_->condition() == Condition::kRunning;
    if (hangs) machine_->InjectNmi(Clock::now() + kNmiLimit);
    if (!done && machine_->condition() != Condition::kCrashed) {
      end = text = done.error().message;
      outcome = RpcOutcome::kFailed;
    }
  }
  if (machine_->condition() == Condition::kCrashed) {
    text = WriteCrash();
    end = "it stopped with bug check " + BugcheckTitle(machine_->channel().stop_facts().code);
    outcome = RpcOutcome::kCrashed;
  } else if (machine_->condition() != Condition::kStopped && end.empty()) {
    end = text = machine_->Whereabouts();
    outcome = RpcOutcome::kFailed;
  }
  WriteState(end.empty() ? "shut down" : end, text);
  machine_->Kill();
  unlink(socket_path_.c_str());
  socket_path_.clear();
  if (text.empty()) text = "the machine has shut down";
  for (const auto& [ticket, client] : waiting_) {
    Answer(client, outcome == RpcOutcome::kAnswered ? RpcOutcome::kFailed : outcome, 0, text);
  }
  for (const auto& client : clients_) {
    if (client->waits_for_end) Answer(client, outcome, 0, text);
  }
}

std::string Supervisor::WriteCrash() {
  const std::string path = HostPath(options_.machine.drive_c, kDumpOnC);
  const boot::StopFacts stop = machine_->channel().stop_facts();
  std::string text = StopText(stop, "");
  machine_->EndCrashed([&] {
    auto written =
        dump::WriteDump(machine_->ram(), machine_->channel().dump_description(), options_.dump_type, path);
    text += written ? fmt::format("dump         {}\n", path) : fmt::format("{}\n", written.error().message);
  });
  WriteState("it stopped with bug check " + BugcheckTitle(stop.code), text);
  return text;
}

void Supervisor::WriteState(const std::string& end, const std::string& detail) {
  nlohmann::ordered_json json;
  json["schema"] = 1;
  json["end"] = end == "shut down" ? "" : end;
  json["detail"] = detail;
  json["crashed"] = machine_->condition() == Condition::kCrashed;
  json["processors"] = options_.machine.processors;
  json["memory"] = options_.machine.memory;
  json["supervisor"] = end.empty() ? getpid() : 0;
  const std::string path = folder_ + "/state.json";
  const std::string temporary = path + ".new";
  {
    std::ofstream file(temporary);
    file << json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
  }
  rename(temporary.c_str(), path.c_str());
}

std::string Supervisor::StatusJson() const {
  nlohmann::ordered_json json;
  json["state"] = StateText(machine_->state());
  json["ready"] = machine_->state() == boot::MachineState::kReady;
  json["processors"] = options_.machine.processors;
  json["memory"] = options_.machine.memory;
  json["accelerator"] = machine_->accelerator_text();
  json["uptime_seconds"] = std::chrono::duration<double>(Clock::now() - begin_).count();
  json["drive_c"] = options_.machine.drive_c;
  json["console"] = options_.machine.log_path;
  json["supervisor"] = getpid();
  json["qemu"] = machine_->process().child().pid();
  return json.dump();
}

std::string Supervisor::AttachJson() const {
  nlohmann::ordered_json json;
  json["control_physical"] = machine_->loaded().control_physical;
  json["header_physical"] = machine_->channel().dump_description().header_physical;
  json["processors"] = options_.machine.processors;
  return json.dump();
}

}  // namespace run
