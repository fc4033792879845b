#include "run/crash_details.h"

#include <algorithm>
#include <filesystem>

#include <strings.h>

#include <fmt/format.h>

#include "debug/session.h"
#include "run/run_report.h"

namespace run {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFrames = 64;
constexpr uint64_t kSystemProcessId = 4;
constexpr uint32_t kStateWaiting = 5;

base::Result<std::unique_ptr<debug::Session>> Open(const RunOptions& options, const RunResult& result) {
  debug::SessionOptions session;
  session.symbol_path = options.machine.guest_folder;
  session.image_folder = fs::absolute(options.driver).parent_path().string();
  session.use_environment = false;  // a verdict does not wait for symbol servers
  auto target = TRY(debug::OpenDump(result.dump_path));
  return debug::Session::Open(std::move(target), session);
}

bool IsModule(const debug::Module* module, const std::string& file) {
  return module != nullptr && strcasecmp(module->image_name.c_str(), file.c_str()) == 0;
}

std::string StateOf(const debug::Session& session, uint64_t thread, ThreadFact& fact) {
  auto object = session.symbols().ObjectAt("_KTHREAD", thread);
  if (!object) return "in an unknown state";
  const auto field = [&](const char* name) { return static_cast<uint32_t>(object->U64(name).value_or(0)); };
  fact = {thread, field("State"), field("WaitReason"), field("ContextSwitches")};
  if (auto processor = session.RunningOn(thread)) return fmt::format("running on processor {}", *processor);
  if (fact.state == kStateWaiting) return fmt::format("waiting ({})", WaitReasonName(fact.wait_reason));
  return ThreadStateName(fact.state);
}

// A note for `thread` when the driver's code is on its stack.
void AddThread(debug::Session& session, uint64_t thread, const std::string& file, RunResult& result) {
  auto stack = session.ThreadStack(thread, kMaxFrames);
  if (!stack) return;
  const auto& frames = stack->frames;
  const auto of_driver = std::find_if(frames.begin(), frames.end(), [&](const debug::Frame& frame) {
    return IsModule(session.symbols().ModuleAt(frame.LookupIp()), file);
  });
  if (of_driver == frames.end()) return;
  ThreadFact fact{thread, 0, 0, 0};
  std::string note = fmt::format("thread {:x} is {} in {}", thread, StateOf(session, thread, fact),
                                 session.symbols().Describe(of_driver->ip));
  if (of_driver != frames.begin())
    note += fmt::format(", at {}", session.symbols().Describe(frames.front().ip));
  result.thread_notes.push_back(std::move(note));
  const bool known = std::any_of(result.threads.begin(), result.threads.end(),
                                 [&](const ThreadFact& other) { return other.thread == thread; });
  if (!known) result.threads.push_back(fact);
}

void AddThreads(debug::Session& session, const std::string& file, RunResult& result) {
  for (const uint64_t process : session.Processes().entries) {
    auto object = session.symbols().ObjectAt("_EPROCESS", process);
    if (!object || object->U64("UniqueProcessId").value_or(0) != kSystemProcessId) continue;
    for (const uint64_t thread : session.Threads(process).entries) AddThread(session, thread, file, result);
  }
}

}  // namespace

void AddCrashDetails(const RunOptions& options, RunResult& result) {
  auto session = Open(options, result);
  if (!session) return;
  const uint64_t instruction = result.stop->instruction;
  if (instruction != 0 && (*session)->symbols().ModuleAt(instruction) != nullptr) {
    result.fault_symbol = (*session)->symbols().Describe(instruction);
  }
  if (result.outcome == Outcome::kHang) {
    AddThreads(**session, fs::path(options.driver).filename().string(), result);
  }
}

}  // namespace run
