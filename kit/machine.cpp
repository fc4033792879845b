#include "bugcheck/machine.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <unistd.h>

#include <fmt/format.h>

#include "dump/dump_writer.h"
#include "machine_core.h"
#include "run/bugcheck_names.h"
#include "run/fields.h"
#include "run/nt_status.h"
#include "run/run_report.h"
#include "run/services.h"
#include "snapshot_core.h"

namespace bugcheck {
namespace {

namespace fs = std::filesystem;
using detail::AsError;

constexpr Milliseconds kControlTimeout{60'000};
constexpr char kDriverFolder[] = "C:\\Windows\\System32\\drivers\\";
constexpr uint32_t kCollision = 0xC0000035;
constexpr uint32_t kNotLoaded = 0xC0000034;  // plug and play unloaded the driver with its last device
constexpr uint64_t kMib = 1 << 20;

Status StatusOf(const run::Reply& reply) {
  return Status(static_cast<uint32_t>(reply.status));
}

std::string GuestFolderOf(const MachineOptions& options) {
  if (!options.guest_folder.empty()) return options.guest_folder;
  if (const char* folder = std::getenv("BUGCHECK_GUEST_DIR"); folder != nullptr && *folder != '\0')
    return folder;
  if (!options.default_guest_folder.empty()) return options.default_guest_folder;
  return run::GuestFolder().value_or("");
}

Result<void> PrepareFolders(const MachineOptions& options, detail::MachineCore& core) {
  core.drive_c = options.drive_c;
  if (core.drive_c.empty() || options.console_log.empty()) {
    auto folder = run::TemporaryFolder::Create();
    if (!folder) return AsError(folder.error());
    core.temporary = std::move(*folder);
    if (core.drive_c.empty()) core.drive_c = core.temporary.path() + "/C";
  }
  if (auto made = run::PrepareDriveC(core.drive_c); !made) return AsError(made.error());
  return {};
}

Error LoadError(const std::string& file, const run::Reply& reply) {
  const run::StartDetail detail = run::ParseStartDetail(reply.payload, reply.status);
  std::string message = fmt::format("cannot load {}: {}", file, StatusOf(reply).text());
  if (!detail.missing_imports.empty())
    message += fmt::format("; nothing exports {}", fmt::join(detail.missing_imports, ", "));
  if (!detail.notes.empty()) message += fmt::format("; {}", fmt::join(detail.notes, "; "));
  return {std::move(message), StatusOf(reply)};
}

}  // namespace

std::string Status::text() const {
  if (*this == status::kNoAnswer) return "no answer";
  return run::StatusText(static_cast<int32_t>(code));
}

std::string BugCheck::text() const {
  std::string line =
      fmt::format("bug check {:#X}{}{} ({:#x}, {:#x}, {:#x}, {:#x})", code, name.empty() ? "" : " ", name,
                  parameters[0], parameters[1], parameters[2], parameters[3]);
  if (!driver.empty()) line += " in " + driver;
  return line;
}

Machine::Machine() : core_(std::make_shared<detail::MachineCore>()) {}

Machine::~Machine() {
  if (core_->machine == nullptr) return;
  core_->machine->Kill();
  core_->machine->Pump(0);
}

Result<std::unique_ptr<Machine>> Machine::Boot(const MachineOptions& options) {
  std::unique_ptr<Machine> machine(new Machine);
  detail::MachineCore& core = *machine->core_;
  if (auto prepared = PrepareFolders(options, core); !prepared) return prepared.error();
  run::MachineOptions run_options;
  run_options.processors = options.processors;
  run_options.memory = options.memory_mib * kMib;
  run_options.accelerator = options.accelerator;
  run_options.guest_folder = core.guest_folder = GuestFolderOf(options);
  run_options.drive_c = core.drive_c;
  run_options.log_path =
      options.console_log.empty() ? core.temporary.path() + "/console.log" : options.console_log;
  run_options.cache_folder = run::CacheFolder();
  run_options.boot_options = options.boot_options;
  run_options.verifier_flags = core.verifier_flags = options.verifier_flags;
  run_options.build_number = options.build_number;
  run_options.devices = options.devices;
  auto started = run::Machine::Start(run_options);
  if (!started) return AsError(started.error());
  core.machine = std::move(*started);
  core.machine->log().SetEcho([&core](std::string_view text) {
    core.output += text;
    if (core.output_handler) core.output_handler(text);
  });
  if (!core.machine->WaitReady(run::Clock::now() + options.boot_timeout)) {
    return Error{fmt::format("the machine did not start: {}; its last words: {}", core.machine->Whereabouts(),
                             core.machine->log().Tail()),
                 status::kNoAnswer};
  }
  return machine;
}

// ---- Files ----

Result<void> Machine::PutFile(const std::string& host_file, const std::string& path) {
  std::ifstream file(host_file, std::ios::binary);
  if (!file) return Error{"cannot read " + host_file};
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  return WriteFile(path, std::as_bytes(std::span(bytes)));
}

Result<void> Machine::WriteFile(const std::string& path, ByteView data) {
  const std::string host = run::HostPath(core_->drive_c, path);
  if (host.empty()) return Error{"cannot write " + path + ": it is not on C:"};
  std::error_code error;
  fs::create_directories(fs::path(host).parent_path(), error);
  std::ofstream file(host, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(data.data()), static_cast<std::streamsize>(data.size()));
  file.close();
  if (!file) return Error{"cannot write " + path};
  return {};
}

Result<Bytes> Machine::ReadFile(const std::string& path) {
  // hostfs writes behind: a read by the guest comes after all that was written to the file. Whether it can be
  // read is told below.
  if (core_->running()) {
    const auto first_byte = run::FieldWriter().String(path).U64(0).U32(1).payload();
    (void)core_->Call(boot::Request::kReadFile, first_byte, kControlTimeout, "read " + path);
  }
  const std::string host = run::HostPath(core_->drive_c, path);
  std::ifstream file(host, std::ios::binary);
  if (host.empty() || !file) return Error{"cannot read " + path};
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  const auto view = std::as_bytes(std::span(bytes));
  return Bytes(view.begin(), view.end());
}

// ---- Drivers ----

Result<Driver> Machine::Load(const std::string& sys_file) {
  const fs::path path = fs::absolute(sys_file);
  Driver driver;
  driver.service_ = path.stem().string();
  const std::string file = path.filename().string();
  if (auto put = PutFile(path.string(), kDriverFolder + file); !put) return put.error();
  if (core_->verifier_flags != 0) {
    const auto flags = run::FieldWriter().U32(core_->verifier_flags).String(file).payload();
    auto reply = core_->Call(boot::Request::kVerifier, flags, kControlTimeout, "turn on Driver Verifier");
    if (!reply) return reply.error();
    if (reply->status < 0)
      return Error{"cannot turn on Driver Verifier: " + StatusOf(*reply).text(), StatusOf(*reply)};
  }
  auto create =
      run::FieldWriter().String(driver.service_).String(kDriverFolder + file).U32(1).U32(3).U32(1).payload();
  auto reply = core_->Call(boot::Request::kServiceCreate, create, kControlTimeout, "create a service");
  if (!reply) return reply.error();
  if (reply->status < 0 && StatusOf(*reply).code != kCollision)
    return Error{"cannot create the service " + driver.service_ + ": " + StatusOf(*reply).text(),
                 StatusOf(*reply)};
  reply = core_->Call(boot::Request::kServiceStart, run::FieldWriter().String(driver.service_).payload(),
                      kControlTimeout, "load " + file);
  if (!reply) return reply.error();
  if (reply->status < 0) return LoadError(file, *reply);
  driver.warnings_ = run::ParseStartDetail(reply->payload, reply->status).warnings;
  core_->drivers.push_back(driver.service_);
  core_->driver_folders.push_back(path.parent_path().string());
  return driver;
}

Result<std::vector<std::string>> Machine::Unload(const Driver& driver, Milliseconds timeout) {
  const auto payload = run::FieldWriter().String(driver.service_).payload();
  auto reply = core_->Call(boot::Request::kServiceStop, payload, timeout, "unload " + driver.service_);
  if (!reply) return reply.error();
  const bool is_gone = StatusOf(*reply).code == kNotLoaded;
  if (reply->status < 0 && !is_gone)
    return Error{"cannot unload " + driver.service_ + ": " + StatusOf(*reply).text(), StatusOf(*reply)};
  std::vector<std::string> findings;
  if (!is_gone) findings = run::ParseLines(reply->payload);
  std::erase(core_->drivers, driver.service_);
  for (const std::string& finding : findings) core_->findings.push_back(driver.service_ + ": " + finding);
  reply =
      core_->Call(boot::Request::kServiceDelete, payload, timeout, "delete the service " + driver.service_);
  if (!reply) return reply.error();
  return findings;
}

// ---- Programs ----

Result<Client> Machine::NewClient(const std::string& image_name) {
  auto core = detail::ClientCore::Create(core_, 0, image_name);
  if (!core) return core.error();
  return Client(*core);
}

namespace {

Error ProgramError(const std::string& what, Status status) {
  return Error{"cannot " + what + ": " + status.text(), status};
}

}  // namespace

Result<Program> Machine::StartProgram(const std::string& name, const ProgramOptions& options) {
  run::FieldWriter payload;
  payload.String(name).String(options.arguments.empty() ? "" : name + " " + options.arguments);
  payload.U64(options.parent).U32(options.session).U32(static_cast<uint32_t>(options.account));
  payload.U32(options.inherit);
  const std::string what = "start " + name;
  auto reply = core_->Call(boot::Request::kProcessStart, payload.payload(), kControlTimeout, what);
  if (!reply) return reply.error();
  if (reply->status < 0) return ProgramError(what, StatusOf(*reply));
  return Program{run::FieldReader(reply->payload).U64().value_or(0)};
}

Result<uint64_t> Machine::StartThread(const Program& program) {
  const std::string what = "start a thread in process " + std::to_string(program.id);
  const auto payload = run::FieldWriter().U64(program.id).payload();
  auto reply = core_->Call(boot::Request::kProcessThread, payload, kControlTimeout, what);
  if (!reply) return reply.error();
  if (reply->status < 0) return ProgramError(what, StatusOf(*reply));
  return run::FieldReader(reply->payload).U64().value_or(0);
}

Result<void> Machine::EndProgram(const Program& program, Status status) {
  const std::string what = "end process " + std::to_string(program.id);
  const auto payload = run::FieldWriter().U64(program.id).U32(status.code).payload();
  auto reply = core_->Call(boot::Request::kProcessStop, payload, kControlTimeout, what);
  if (!reply) return reply.error();
  if (reply->status < 0) return ProgramError(what, StatusOf(*reply));
  return {};
}

Result<Status> Machine::ExitStatus(const Program& program) {
  const std::string what = "ask about process " + std::to_string(program.id);
  const auto payload = run::FieldWriter().U64(program.id).payload();
  auto reply = core_->Call(boot::Request::kProcessQuery, payload, kControlTimeout, what);
  if (!reply) return reply.error();
  if (reply->status < 0) return ProgramError(what, StatusOf(*reply));
  return Status(run::FieldReader(reply->payload).U32().value_or(0));
}

Result<Status> Machine::WaitForExit(const Program& program, Milliseconds timeout) {
  Result<Status> last = status::kPending;
  WaitUntil(
      [&] {
        last = ExitStatus(program);
        return !last || *last != status::kPending;
      },
      timeout);
  return last;
}

Result<File> Machine::Open(std::wstring_view path, const OpenOptions& options) {
  if (own_client_.process_id() == 0) {
    auto client = NewClient();
    if (!client) return client.error();
    own_client_ = std::move(*client);
  }
  return own_client_.Open(path, options);
}

bool Machine::WaitAll(std::span<Request> requests, Milliseconds timeout) {
  size_t next = 0;
  return core_->Wait(timeout, [&] {
    while (next < requests.size() && requests[next].Done()) ++next;
    return next == requests.size();
  });
}

// ---- Output ----

std::string Machine::TakeOutput() {
  if (core_->running()) core_->machine->Pump(0);
  return core_->output.substr(std::exchange(core_->output_taken, core_->output.size()));
}

const std::string& Machine::output() const {
  return core_->output;
}

void Machine::SetOutputHandler(std::function<void(std::string_view)> handler) {
  core_->output_handler = std::move(handler);
}

bool Machine::WaitForOutput(std::string_view text, Milliseconds timeout) {
  return WaitUntil([&] { return core_->output.find(text) != std::string::npos; }, timeout);
}

// ---- State ----

MachineState Machine::state() const {
  switch (core_->machine->condition()) {
    case run::Condition::kRunning:
      return MachineState::kRunning;
    case run::Condition::kStopped:
      return MachineState::kStopped;
    case run::Condition::kCrashed:
      return MachineState::kCrashed;
    default:
      return MachineState::kFailed;
  }
}

std::optional<BugCheck> Machine::bug_check() const {
  if (core_->machine->condition() != run::Condition::kCrashed) return {};
  const boot::StopFacts stop = core_->machine->channel().stop_facts();
  BugCheck facts;
  facts.code = stop.code;
  if (const run::BugcheckName* known = run::FindBugcheck(stop.code)) facts.name = known->name;
  std::copy(std::begin(stop.parameters), std::end(stop.parameters), facts.parameters);
  facts.driver = stop.driver;
  facts.irql = stop.irql;
  facts.instruction = stop.instruction;
  facts.thread = stop.thread;
  return facts;
}

bool Machine::WaitUntil(const std::function<bool()>& done, Milliseconds timeout) {
  const auto deadline = run::Clock::now() + timeout;
  while (!done()) {
    if (!core_->running() || run::Clock::now() >= deadline) return done();
    core_->machine->Pump(1);
    core_->ReadClients();
  }
  return true;
}

std::optional<BugCheck> Machine::WaitForBugCheck(Milliseconds timeout) {
  WaitUntil([this] { return state() != MachineState::kRunning; }, timeout);
  return bug_check();
}

std::vector<std::string> Machine::Problems() {
  if (core_->running()) core_->machine->Pump(0);
  std::vector<std::string> problems = core_->findings;
  if (auto stop = bug_check()) problems.push_back(stop->text());
  if (state() == MachineState::kFailed) problems.push_back(core_->machine->Whereabouts());
  for (const std::string& driver : core_->drivers) problems.push_back(driver + " is still loaded");
  return problems;
}

Result<void> Machine::ShutDown(Milliseconds timeout) {
  if (auto ended = own_client_.End(timeout); !ended) return ended;
  auto done = core_->machine->ShutDown(run::Clock::now() + timeout);
  if (!done) return AsError(done.error(), status::kNoAnswer);
  return {};
}

// ---- Looking inside ----

Result<std::vector<NamedObject>> Machine::Objects(const std::string& directory) {
  auto reply = core_->Call(boot::Request::kObjects, run::FieldWriter().String(directory).payload(),
                           kControlTimeout, "list " + directory);
  if (!reply) return reply.error();
  if (reply->status < 0)
    return Error{"cannot list " + directory + ": " + StatusOf(*reply).text(), StatusOf(*reply)};
  run::FieldReader reader(reply->payload);
  std::vector<NamedObject> objects;
  while (!reader.AtEnd()) {
    auto name = reader.String();
    auto type = reader.String();
    auto address = reader.U64();
    if (!address) return Error{"cannot list " + directory + ": the machine broke the control protocol"};
    objects.push_back({*name, *type, *address});
  }
  return objects;
}

Result<std::unique_ptr<Snapshot>> Machine::Inspect() {
  auto core = Snapshot::Core::Open(*core_->machine, core_->guest_folder, core_->driver_folders);
  if (!core) return core.error();
  return std::unique_ptr<Snapshot>(new Snapshot(std::move(*core)));
}

Result<void> Machine::WriteDump(const std::string& path, DumpKind kind) {
  run::Machine& machine = *core_->machine;
  const auto type = kind == DumpKind::kFull ? dump::DumpType::kFull : dump::DumpType::kKernel;
  const auto write = [&] {
    return dump::WriteDump(machine.ram(), machine.channel().dump_description(), type, path);
  };
  if (machine.condition() == run::Condition::kCrashed) {
    auto written = write();
    if (!written) return AsError(written.error());
    return {};
  }
  auto over = std::make_shared<bool>(false);
  if (auto posted = machine.Post(boot::Request::kLiveDump, "", [over](const run::Reply&) { *over = true; });
      !posted)
    return AsError(posted.error());
  Result<void> outcome;
  const bool answered = WaitUntil(
      [&] {
        if (!machine.channel().IsLiveDumpReady()) return *over;
        auto written = write();
        if (!written) outcome = AsError(written.error());
        machine.channel().FinishLiveDump();
        return false;
      },
      kControlTimeout);
  if (!answered) return Error{"cannot take a dump: " + core_->Whereabouts(), status::kNoAnswer};
  return outcome;
}

}  // namespace bugcheck
