#include "run/run_driver.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include <strings.h>
#include <unistd.h>

#include <fmt/format.h>

#include "qemu/command_line.h"
#include "run/crash_details.h"
#include "run/driver_check.h"
#include "run/fields.h"
#include "run/nt_status.h"
#include "run/paths.h"
#include "run/services.h"

namespace run {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr auto kBootLimit = std::chrono::seconds(30);
constexpr auto kBootNmiLimit = std::chrono::seconds(3);
constexpr auto kCrashLimit = std::chrono::seconds(20);
constexpr auto kShutdownLimit = std::chrono::seconds(20);
constexpr auto kReplyLimit = std::chrono::seconds(20);
// Threads that have only waited for this long work no more.
constexpr auto kIdleLimit = std::chrono::seconds(1);
// A driver whose threads do a little now and then is stopped after this long; one that is busy may go on.
constexpr auto kDefaultKeepRunning = std::chrono::seconds(5);
constexpr auto kWindow = milliseconds(500);
constexpr double kBusySwitches = 300;  // a second
constexpr size_t kMaxWarnings = 100;
constexpr uint32_t kNmiHardwareFailure = 0x80;
constexpr char kDriverFolder[] = "C:\\Windows\\System32\\drivers\\";
constexpr char kDumpOnC[] = "C:\\Windows\\MEMORY.DMP";

std::string ErrnoText(const std::string& what) {
  return base::FailErrno(what, errno).value().message;
}

class Runner {
 public:
  Runner(const RunOptions& options, Progress& progress) : options_(options), progress_(progress) {}
  RunResult Run();

 private:
  // Each returns false when the run is over; result_ then says why.
  bool Check();
  bool Prepare();
  bool Launch();
  bool CreateService();
  bool StartService();
  bool InstallForDevices();
  bool Started(const Reply& reply);
  bool AddDevice();
  void WaitForPowerButton();
  bool LetWork();
  bool StopService();
  bool LetSettle();
  bool WatchKernel();
  bool TakeLiveDump();
  void ShutDown();

  bool Fail(Outcome outcome, std::string message);
  // After a call to the machine failed: crash, hang, death, Ctrl-C.
  bool GiveUp(const std::string& doing);
  bool Hang(const std::string& doing);
  void RecordCrash(const std::string& doing);
  void WriteDump();
  void ReadThreads();
  void OnEvent(const IncomingMessage& message);
  std::string ServiceName() const { return fs::path(options_.driver).stem().string(); }
  std::string ServicePayload() const { return FieldWriter().String(ServiceName()).payload(); }
  double Since(Clock::time_point begin) const {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }

  const RunOptions& options_;
  std::string trace_path_;
  Progress& progress_;
  RunResult result_;
  TemporaryFolder temporary_;
  std::string drive_c_;
  std::unique_ptr<Machine> machine_;
  Clock::time_point launch_;
  Clock::time_point service_begin_;
  Deadline deadline_;
};

bool Runner::Fail(Outcome outcome, std::string message) {
  result_.outcome = outcome;
  result_.message = std::move(message);
  return false;
}

bool Runner::Check() {
  DriverProblem problem;
  switch (CheckDriver(options_.driver, problem)) {
    case DriverFile::kGood:
      break;
    case DriverFile::kUnreadable:
      return Fail(Outcome::kNotLoaded, problem.message);
    case DriverFile::kRefused:
      result_.status = problem.status;
      return Fail(Outcome::kNotLoaded, fmt::format("cannot load {}: {} ({})", options_.driver,
                                                   problem.message, StatusText(problem.status)));
  }
  if (options_.dump_path.empty()) return true;
  const fs::path dump = options_.dump_path;
  const std::string folder = dump.has_parent_path() ? dump.parent_path().string() : ".";
  std::error_code error;
  if (fs::is_directory(dump, error))
    return Fail(Outcome::kInternalError,
                fmt::format("cannot write the dump {}: it is a folder", dump.string()));
  if (access(folder.c_str(), W_OK | X_OK) != 0) {
    return Fail(Outcome::kInternalError, ErrnoText("cannot write the dump " + dump.string()));
  }
  return true;
}

bool Runner::Prepare() {
  progress_.Stage("preparing drive C:");
  if (options_.drive_c.empty()) {
    auto folder = TemporaryFolder::Create();
    if (!folder) return Fail(Outcome::kInternalError, folder.error().message);
    temporary_ = std::move(*folder);
    drive_c_ = temporary_.path() + "/C";
  } else {
    drive_c_ = options_.drive_c;
    if (access(drive_c_.c_str(), R_OK | W_OK | X_OK) != 0) {
      return Fail(Outcome::kInternalError, ErrnoText("cannot use " + drive_c_ + " as drive C:"));
    }
  }
  if (auto made = PrepareDriveC(drive_c_); !made) return Fail(Outcome::kInternalError, made.error().message);
  const std::string name = fs::path(options_.driver).filename().string();
  std::error_code error;
  fs::copy_file(options_.driver, HostPath(drive_c_, kDriverFolder + name),
                fs::copy_options::overwrite_existing, error);
  if (error)
    return Fail(Outcome::kInternalError,
                fmt::format("cannot copy {} to drive C:: {}", options_.driver, error.message()));
  result_.console_path = options_.console_path;
  if (result_.console_path.empty()) {
    const std::string folder = StateFolder() + "/runs/" + ServiceName();
    if (auto made = MakeFolder(folder); !made) return Fail(Outcome::kInternalError, made.error().message);
    result_.console_path = folder + "/console.log";
    trace_path_ = folder + "/trace.log";
  }
  if (!options_.trace_path.empty()) trace_path_ = options_.trace_path;
  return true;
}

bool Runner::Launch() {
  progress_.Stage(fmt::format("starting a machine with {} processors", options_.machine.processors));
  launch_ = Clock::now();
  MachineOptions machine_options = options_.machine;
  machine_options.drive_c = drive_c_;
  machine_options.log_path = result_.console_path;
  machine_options.trace_path = trace_path_;
  auto machine = Machine::Start(machine_options);
  if (!machine) return Fail(Outcome::kInternalError, machine.error().message);
  machine_ = std::move(*machine);
  machine_->set_interrupt_fd(options_.interrupt_fd);
  machine_->set_event_handler([this](const IncomingMessage& message) { OnEvent(message); });
  result_.accelerator = machine_->accelerator_text();
  progress_.Stage("booting (" + result_.accelerator + ")");
  if (machine_->WaitReady(Clock::now() + kBootLimit)) return true;
  if (machine_->interrupted()) return Fail(Outcome::kInterrupted, "interrupted");
  std::string message = fmt::format("the machine did not start: {}; its console is in {}",
                                    machine_->Whereabouts(), result_.console_path);
  // A kernel that hangs gets a dump for whoever looks into it, if it can still write one.
  if (machine_->condition() == Condition::kCrashed || machine_->InjectNmi(Clock::now() + kBootNmiLimit)) {
    RecordCrash("the machine started");
  }
  return Fail(Outcome::kInternalError, std::move(message));
}

bool Runner::CreateService() {
  service_begin_ = Clock::now();
  deadline_ = service_begin_ + options_.timeout;
  if (options_.machine.verifier_flags != 0) {
    const auto payload = FieldWriter()
                             .U32(options_.machine.verifier_flags)
                             .String(fs::path(options_.driver).filename().string())
                             .payload();
    auto reply = machine_->Call(boot::Request::kVerifier, payload, Clock::now() + kReplyLimit);
    if (!reply) return GiveUp("the verifier was set up");
    FieldReader answer(reply->payload);
    answer.U32();  // flags in force
    const std::string missing = answer.String().value_or("");
    if (!Succeeded(reply->status)) {
      return Fail(Outcome::kInternalError,
                  missing.empty() ? "cannot turn on Driver Verifier: " + StatusText(reply->status)
                                  : "Driver Verifier has no " + missing);
    }
    if (!missing.empty()) result_.warnings.push_back("Driver Verifier runs without " + missing);
  }
  progress_.Stage(fmt::format("sc create {0}, sc start {0}", ServiceName()));
  const auto payload = FieldWriter()
                           .String(ServiceName())
                           .String(kDriverFolder + fs::path(options_.driver).filename().string())
                           .U32(1)
                           .U32(3)
                           .U32(1)
                           .payload();
  auto reply = machine_->Call(boot::Request::kServiceCreate, payload, Clock::now() + kReplyLimit);
  if (!reply) return GiveUp("the service was created");
  // A service that an earlier run left in the registry of --drive-c is used as it is.
  constexpr auto kCollision = static_cast<int32_t>(0xC0000035);
  if (!Succeeded(reply->status) && reply->status != kCollision) {
    return Fail(Outcome::kInternalError,
                fmt::format("cannot create the service {}: {}", ServiceName(), StatusText(reply->status)));
  }
  return true;
}

// The button goes down so long after DriverEntry began, and not before: a busy host is no hang.
void Runner::WaitForPowerButton() {
  if (!options_.power_button) return;
  while (result_.seconds_to_driver_entry == 0 && machine_->condition() == Condition::kRunning &&
         !machine_->interrupted() && Clock::now() < deadline_) {
    machine_->PumpUntil(std::min(Clock::now() + milliseconds(20), deadline_), [] { return false; });
  }
  deadline_ = std::min(Clock::now() + *options_.power_button, deadline_);
}

bool Runner::StartService() {
  if (options_.power_button) {
    auto started = std::make_shared<std::optional<Reply>>();
    auto posted = machine_->Post(boot::Request::kServiceStart, ServicePayload(),
                                 [started](const Reply& answer) { *started = answer; });
    if (!posted) return GiveUp("DriverEntry ran");
    WaitForPowerButton();
    machine_->PumpUntil(deadline_, [started] { return started->has_value(); });
    if (!started->has_value()) return GiveUp("DriverEntry ran");
    return Started(**started);
  }
  auto reply = machine_->Call(boot::Request::kServiceStart, ServicePayload(), deadline_);
  if (!reply) return GiveUp("DriverEntry ran");
  return Started(*reply);
}

// The driver becomes the driver of the machine's devices, as an INF would say.
bool Runner::InstallForDevices() {
  for (const std::string& name : options_.machine.devices) {
    const std::string id(qemu::FindDevice(name)->hardware_id);
    const auto payload = FieldWriter().String(id).String(ServiceName()).U32(0).payload();
    auto reply = machine_->Call(boot::Request::kDevnodeMap, payload, deadline_);
    if (!reply) return GiveUp("the device started");
    if (!Succeeded(reply->status))
      return Fail(Outcome::kInternalError,
                  fmt::format("cannot install the driver for {}: {}", id, StatusText(reply->status)));
  }
  return true;
}

bool Runner::Started(const Reply& reply) {
  const StartDetail detail = ParseStartDetail(reply.payload, reply.status);
  for (const std::string& warning : detail.warnings) result_.warnings.push_back(warning);
  result_.status = reply.status;
  if (Succeeded(reply.status)) return true;
  result_.missing_imports = detail.missing_imports;
  std::string why;
  if (!detail.refusal.empty()) {
    why = ": " + detail.refusal;
  } else if (!detail.missing_imports.empty()) {
    why = fmt::format(": it imports what nothing exports: {}", fmt::join(detail.missing_imports, ", "));
  } else if (result_.seconds_to_driver_entry != 0) {
    why = ": its DriverEntry failed";
  }
  if (!detail.notes.empty()) why += fmt::format(": {}", fmt::join(detail.notes, "; "));
  const std::string status = StatusText(reply.status);
  Fail(Outcome::kNotLoaded, why.empty() ? fmt::format("cannot load {}: {}", options_.driver, status)
                                        : fmt::format("cannot load {}{} ({})", options_.driver, why, status));
  ShutDown();
  return false;
}

// Gives the driver a device to serve: AddDevice and IRP_MN_START_DEVICE. The service's stop removes it again.
bool Runner::AddDevice() {
  if (options_.devnode.empty()) return true;
  progress_.Stage("devnode add " + options_.devnode);
  const auto payload = FieldWriter().String(options_.devnode).String(ServiceName()).U32(0).payload();
  auto reply = machine_->Call(boot::Request::kDevnodeAdd, payload, deadline_);
  if (!reply) return GiveUp("the device was added");
  FieldReader answer(reply->payload);
  const std::string path = answer.String().value_or(options_.devnode);
  const uint32_t problem = answer.U32().value_or(0);
  if (Succeeded(reply->status) && problem == 0) return true;
  const std::string why = problem != 0 ? fmt::format("problem {}", problem) : StatusText(reply->status);
  Fail(Outcome::kNotLoaded, fmt::format("{} does not start the device {}: {}", options_.driver, path, why));
  ShutDown();
  return false;
}

// Decides when the driver has worked long enough, from what is seen of its threads now and then.
class WorkWatch {
 public:
  WorkWatch(Deadline begin, std::optional<milliseconds> keep_running)
      : begin_(begin), keep_running_(keep_running), window_(begin), last_change_(begin) {}

  bool IsOver(const DriverActivity& activity, Deadline now) {
    if (keep_running_) return now >= begin_ + *keep_running_;
    if (activity.threads_alive == 0) return true;
    uint64_t switches = 0;
    for (const ThreadFact& thread : activity.threads) switches += thread.context_switches;
    if (switches != switches_ || activity.threads_runnable != 0) last_change_ = now;
    samples_++;
    runnable_samples_ += activity.threads_runnable != 0 ? 1 : 0;
    switches_ = switches;
    if (now - window_ >= kWindow) CloseWindow(now);
    return now - last_change_ >= kIdleLimit || (now - begin_ >= kDefaultKeepRunning && !busy_);
  }

 private:
  void CloseWindow(Deadline now) {
    const double seconds = std::chrono::duration<double>(now - window_).count();
    busy_ = runnable_samples_ * 5 >= samples_ * 4 ||
            static_cast<double>(switches_ - window_switches_) / seconds > kBusySwitches;
    samples_ = runnable_samples_ = 0;
    window_switches_ = switches_;
    window_ = now;
  }

  Deadline begin_;
  std::optional<milliseconds> keep_running_;
  Deadline window_;
  Deadline last_change_;
  uint64_t switches_ = 0;
  uint64_t window_switches_ = 0;
  int samples_ = 0;
  int runnable_samples_ = 0;
  bool busy_ = true;
};

bool Runner::LetWork() {
  progress_.Stage("the driver works");
  WorkWatch watch(Clock::now(), options_.keep_running);
  auto wait = milliseconds(2);
  for (;;) {
    auto reply = machine_->Call(boot::Request::kDriverActivity, ServicePayload(), deadline_);
    if (!reply) return GiveUp("the driver worked");
    if (!Succeeded(reply->status)) return true;  // not loaded any more: it ended by itself
    const DriverActivity activity = ParseActivity(reply->payload);
    if (watch.IsOver(activity, Clock::now())) return true;
    result_.threads = activity.threads;
    if (Clock::now() >= deadline_) return Hang("the driver's threads worked");
    machine_->PumpUntil(std::min(Clock::now() + wait, deadline_), [this] {
      progress_.Tick();
      return false;
    });
    if (machine_->condition() != Condition::kRunning || machine_->interrupted())
      return GiveUp("the driver worked");
    wait = std::min(wait * 2, milliseconds(20));
  }
}

bool Runner::StopService() {
  progress_.Stage("sc stop " + ServiceName());
  const Deadline deadline = std::max(deadline_, Clock::now() + std::chrono::seconds(5));
  auto reply = machine_->Call(boot::Request::kServiceStop, ServicePayload(), deadline);
  if (!reply) return GiveUp("the driver was unloaded");
  result_.threads.clear();
  result_.left_behind = ParseLines(reply->payload);
  if (!Succeeded(reply->status)) {
    result_.left_behind.insert(result_.left_behind.begin(),
                               "the driver itself: it cannot be unloaded: " + StatusText(reply->status));
  }
  result_.outcome = result_.left_behind.empty() ? Outcome::kClean : Outcome::kLeftBehind;
  if (!result_.left_behind.empty()) {
    result_.message =
        fmt::format("{} left behind: {}", options_.driver, fmt::join(result_.left_behind, "; "));
  }
  return true;
}

bool Runner::WatchKernel() {
  if (!options_.watch_kernel) return true;
  auto reply = machine_->Call(boot::Request::kWatchKernel, "", Clock::now() + kReplyLimit);
  if (!reply) return GiveUp("the kernel's watch was set up");
  return Succeeded(reply->status) ||
         Fail(Outcome::kInternalError, "cannot watch the kernel: " + StatusText(reply->status));
}

bool Runner::TakeLiveDump() {
  if (options_.live_dump_path.empty()) return true;
  progress_.Stage("taking a live dump");
  auto failure = std::make_shared<std::string>();
  auto over = std::make_shared<bool>(false);
  auto posted = machine_->Post(boot::Request::kLiveDump, "", [over](const Reply&) { *over = true; });
  if (!posted) return GiveUp("a live dump was taken");
  machine_->PumpUntil(Clock::now() + kReplyLimit, [&] {
    if (!machine_->channel().IsLiveDumpReady()) return *over;
    auto written = dump::WriteDump(machine_->ram(), machine_->channel().dump_description(),
                                   options_.dump_type, options_.live_dump_path);
    if (!written) *failure = written.error().message;
    machine_->channel().FinishLiveDump();
    return false;
  });
  if (!*over) return GiveUp("a live dump was taken");
  return failure->empty() || Fail(Outcome::kInternalError, *failure);
}

// A timer, a thread or a callback that the driver forgot shows only when it comes.
bool Runner::LetSettle() {
  if (options_.after_unload.count() == 0) return true;
  progress_.Stage("the machine runs on without the driver");
  machine_->PumpUntil(Clock::now() + options_.after_unload, [this] {
    progress_.Tick();
    return false;
  });
  const bool runs = machine_->condition() == Condition::kRunning && !machine_->interrupted();
  return runs || GiveUp("the driver was gone");
}

void Runner::ShutDown() {
  progress_.Stage("shutting down");
  auto done = machine_->ShutDown(Clock::now() + kShutdownLimit);
  if (done) return;
  if (machine_->condition() == Condition::kCrashed) {
    RecordCrash("the machine shut down");
  } else if (machine_->interrupted()) {
    Fail(Outcome::kInterrupted, "interrupted");
  } else if (machine_->condition() == Condition::kRunning) {
    Hang("the machine shut down");
  } else {
    Fail(Outcome::kInternalError,
         fmt::format("{}; its console is in {}", done.error().message, result_.console_path));
  }
}

bool Runner::GiveUp(const std::string& doing) {
  if (machine_->condition() == Condition::kCrashed) {
    RecordCrash(doing);
    return false;
  }
  if (machine_->interrupted()) return Fail(Outcome::kInterrupted, "interrupted");
  if (machine_->condition() == Condition::kRunning) return Hang(doing);
  return Fail(Outcome::kInternalError, fmt::format("the machine failed while {}: {}; its console is in {}",
                                                   doing, machine_->Whereabouts(), result_.console_path));
}

bool Runner::Hang(const std::string& doing) {
  progress_.Stage("time is up: stopping the machine by NMI");
  result_.outcome = Outcome::kHang;
  result_.message =
      fmt::format("{}: no end after {:.1f} s while {}", options_.driver, Since(service_begin_), doing);
  ReadThreads();
  const auto reason = options_.power_button ? boot::NmiReason::kPowerButton : boot::NmiReason::kNoAnswer;
  if (!machine_->InjectNmi(Clock::now() + kCrashLimit, reason)) {
    if (machine_->interrupted()) return Fail(Outcome::kInterrupted, "interrupted");
    result_.message +=
        fmt::format("; not even an NMI stops the machine ({}), so there is no dump", machine_->Whereabouts());
    return false;
  }
  const std::string message = result_.message;
  const std::vector<ThreadFact> threads = result_.threads;
  RecordCrash(doing);
  if (result_.outcome == Outcome::kBugcheck && result_.stop->code == kNmiHardwareFailure) {
    result_.outcome = Outcome::kHang;
    result_.message = message;
    result_.threads = threads;
  }
  return false;
}

void Runner::ReadThreads() {
  auto reply =
      machine_->Call(boot::Request::kDriverActivity, ServicePayload(), Clock::now() + milliseconds(500));
  if (reply && Succeeded(reply->status)) result_.threads = ParseActivity(reply->payload).threads;
}

void Runner::RecordCrash(const std::string& doing) {
  result_.stop = machine_->channel().stop_facts();
  result_.outcome = Outcome::kBugcheck;
  result_.message = fmt::format("bug check {:#X} while {}", result_.stop->code, doing);
  result_.threads.clear();  // the dump knows better
  machine_->EndCrashed([this] { WriteDump(); });
}

void Runner::WriteDump() {
  progress_.Stage("writing the dump");
  const std::string on_c = HostPath(drive_c_, kDumpOnC);
  std::string path = options_.dump_path;
  if (path.empty())
    path = options_.drive_c.empty() ? StateFolder() + "/runs/" + ServiceName() + "/MEMORY.DMP" : on_c;
  if (options_.dump_path.empty()) {
    if (auto made = MakeFolder(fs::path(path).parent_path().string()); !made) {
      Fail(Outcome::kInternalError, made.error().message);
      return;
    }
  }
  const auto begin = Clock::now();
  auto written =
      dump::WriteDump(machine_->ram(), machine_->channel().dump_description(), options_.dump_type, path);
  result_.seconds_to_write_dump = Since(begin);
  if (!written) {
    Fail(Outcome::kInternalError, fmt::format("{} (the machine stopped with bug check {:#X})",
                                              written.error().message, result_.stop->code));
    return;
  }
  result_.dump = *written;
  result_.dump_path = path;
  if (!options_.drive_c.empty() && path != on_c) {
    if (auto copied = dump::DuplicateDump(path, on_c); !copied)
      result_.warnings.push_back(copied.error().message);
  }
}

void Runner::OnEvent(const IncomingMessage& message) {
  FieldReader reader(message.payload);
  const std::string text = reader.String().value_or("");
  switch (static_cast<boot::Event>(message.kind)) {
    case boot::Event::kDriverEntry:
      if (result_.seconds_to_driver_entry == 0) result_.seconds_to_driver_entry = Since(launch_);
      break;
    case boot::Event::kWarning:
    case boot::Event::kLockHeldLong:
      if (result_.warnings.size() < kMaxWarnings) result_.warnings.push_back(text);
      break;
    default:
      break;
  }
}

RunResult Runner::Run() {
  if (Check() && Prepare() && Launch() && WatchKernel() && CreateService() && StartService() && AddDevice() &&
      InstallForDevices() && TakeLiveDump() && LetWork() && StopService() && LetSettle())
    ShutDown();
  if (machine_ != nullptr) machine_->Kill();
  if (result_.stop && !result_.dump_path.empty()) AddCrashDetails(options_, result_);
  result_.seconds_total = progress_.Seconds();
  progress_.Clear();
  return std::move(result_);
}

}  // namespace

RunResult RunDriver(const RunOptions& options, Progress& progress) {
  return Runner(options, progress).Run();
}

int ExitStatusOf(const RunResult& result) {
  switch (result.outcome) {
    case Outcome::kClean:
      return 0;
    case Outcome::kBugcheck:
      return 3;
    case Outcome::kHang:
      return 4;
    case Outcome::kNotLoaded:
      return 5;
    case Outcome::kLeftBehind:
      return 6;
    case Outcome::kInterrupted:
    case Outcome::kInternalError:
      break;
  }
  return 1;
}

const char* OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kClean:
      return "clean";
    case Outcome::kLeftBehind:
      return "left_behind";
    case Outcome::kBugcheck:
      return "bugcheck";
    case Outcome::kHang:
      return "hang";
    case Outcome::kNotLoaded:
      return "not_loaded";
    case Outcome::kInterrupted:
      return "interrupted";
    case Outcome::kInternalError:
      break;
  }
  return "internal_error";
}

}  // namespace run
