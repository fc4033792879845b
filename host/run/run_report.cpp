#include "run/run_report.h"

#include <filesystem>
#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "run/bugcheck_names.h"
#include "run/nt_status.h"

namespace run {
namespace {

using nlohmann::ordered_json;

// What the guest wrote is not trusted to be UTF-8 or printable.
std::string Clean(const std::string& text) {
  std::string clean;
  for (const char c : text) clean += c >= ' ' && c <= '~' ? c : '?';
  return clean;
}

std::string Hex(uint64_t value) {
  return fmt::format("0x{:X}", value);
}

std::string Address(uint64_t value) {
  return fmt::format("{:08x}`{:08x}", value >> 32, value & 0xFFFFFFFF);
}

std::string VerdictLine(const RunOptions& options, const RunResult& result) {
  const std::string driver = std::filesystem::path(options.driver).filename().string();
  switch (result.outcome) {
    case Outcome::kClean:
      return fmt::format("{}: loaded, worked, unloaded, left nothing behind", driver);
    case Outcome::kLeftBehind:
      return fmt::format("{}: loaded and worked, but left something behind", driver);
    case Outcome::kBugcheck:
      return fmt::format("{}: the machine stopped with bug check {}", driver,
                         BugcheckTitle(result.stop->code));
    case Outcome::kHang:
      return fmt::format("{}: hang", driver);
    case Outcome::kNotLoaded:
      return fmt::format("{}: did not load", driver);
    default:
      return "";
  }
}

ordered_json StopJson(const RunResult& result) {
  const boot::StopFacts& stop = *result.stop;
  const BugcheckName* name = FindBugcheck(stop.code);
  ordered_json json;
  json["code"] = Hex(stop.code);
  json["name"] = name == nullptr ? "" : name->name;
  for (const uint64_t parameter : stop.parameters) json["parameters"].push_back(Hex(parameter));
  json["driver"] = Clean(stop.driver);
  json["driver_base"] = Hex(stop.driver_base);
  json["instruction"] = Hex(stop.instruction);
  json["symbol"] = result.fault_symbol;
  json["thread"] = Hex(stop.thread);
  json["irql"] = stop.irql;
  json["processor"] = stop.processor;
  return json;
}

}  // namespace

const char* ThreadStateName(uint32_t state) {
  constexpr const char* kNames[] = {
      "initialized", "ready",      "running",        "standby",         "terminated",
      "waiting",     "transition", "deferred ready", "gate wait (old)", "waiting for process"};
  return state < std::size(kNames) ? kNames[state] : "unknown";
}

const char* WaitReasonName(uint32_t reason) {
  constexpr const char* kNames[] = {"Executive",        "FreePage",          "PageIn",
                                    "PoolAllocation",   "DelayExecution",    "Suspended",
                                    "UserRequest",      "WrExecutive",       "WrFreePage",
                                    "WrPageIn",         "WrPoolAllocation",  "WrDelayExecution",
                                    "WrSuspended",      "WrUserRequest",     "WrSpare0",
                                    "WrQueue",          "WrLpcReceive",      "WrLpcReply",
                                    "WrVirtualMemory",  "WrPageOut",         "WrRendezvous",
                                    "WrKeyedEvent",     "WrTerminated",      "WrProcessInSwap",
                                    "WrCpuRateControl", "WrCalloutStack",    "WrKernel",
                                    "WrResource",       "WrPushLock",        "WrMutex",
                                    "WrQuantumEnd",     "WrDispatchInt",     "WrPreempted",
                                    "WrYieldExecution", "WrFastMutex",       "WrGuardedMutex",
                                    "WrRundown",        "WrAlertByThreadId", "WrDeferredPreempt",
                                    "WrPhysicalFault"};
  return reason < std::size(kNames) ? kNames[reason] : "unknown";
}

std::string BugcheckTitle(uint32_t code) {
  const BugcheckName* name = FindBugcheck(code);
  return name == nullptr ? Hex(code) : fmt::format("{} {}", Hex(code), name->name);
}

std::string StopText(const boot::StopFacts& stop, const std::string& symbol) {
  const BugcheckName* name = FindBugcheck(stop.code);
  std::string text = fmt::format("STOP {}\n", BugcheckTitle(stop.code));
  for (int i = 0; i < 4; i++) {
    const char* meaning = name == nullptr ? "" : name->parameters[i];
    text += fmt::format("  parameter {}  {:016x}{}{}\n", i + 1, stop.parameters[i],
                        *meaning == '\0' ? "" : "  ", meaning);
  }
  const std::string driver = Clean(stop.driver);
  if (!driver.empty()) {
    text += stop.driver_base != 0
                ? fmt::format("  driver       {} at {}\n", driver, Address(stop.driver_base))
                : fmt::format("  driver       {}\n", driver);
  }
  text +=
      fmt::format("  at           {}{}{}\n", Address(stop.instruction), symbol.empty() ? "" : "  ", symbol);
  text += fmt::format("  thread       {}, IRQL {}, processor {}\n", Address(stop.thread), stop.irql,
                      stop.processor);
  return text;
}

std::string ReportText(const RunOptions& options, const RunResult& result) {
  std::string text;
  if (result.stop) text += StopText(*result.stop, result.fault_symbol);
  for (const std::string& finding : result.left_behind)
    text += fmt::format("left behind: {}\n", Clean(finding));
  for (const std::string& name : result.missing_imports)
    text += fmt::format("missing import: {}\n", Clean(name));
  // The notes, where the dump could be read, say the same and where the threads are.
  const bool plain = result.thread_notes.empty();
  for (const ThreadFact& thread : plain ? result.threads : std::vector<ThreadFact>{}) {
    const bool waits = thread.state == 5;
    text += fmt::format("thread {}: {}{}{}\n", Address(thread.thread), ThreadStateName(thread.state),
                        waits ? ", " : "", waits ? WaitReasonName(thread.wait_reason) : "");
  }
  for (const std::string& note : result.thread_notes) text += note + "\n";
  for (const std::string& warning : result.warnings) text += fmt::format("warning: {}\n", Clean(warning));
  if (!result.dump_path.empty()) {
    text +=
        fmt::format("dump         {} ({} memory, {:.1f} MB)\n", result.dump_path,
                    result.dump.type == dump::DumpType::kFull ? "full" : "kernel", result.dump.bytes / 1e6);
  }
  if (!result.console_path.empty() && result.outcome != Outcome::kClean)
    text += fmt::format("console      {}\n", result.console_path);
  const std::string verdict = VerdictLine(options, result);
  if (!verdict.empty()) text += fmt::format("verdict      {}\n", verdict);
  return text;
}

std::string ReportJson(const RunOptions& options, const RunResult& result) {
  ordered_json json;
  json["schema"] = 1;
  json["driver"] = std::filesystem::path(options.driver).filename().string();
  json["cpus"] = options.machine.processors;
  json["memory"] = options.machine.memory;
  json["accelerator"] = result.accelerator;
  json["outcome"] = OutcomeName(result.outcome);
  json["exit_code"] = ExitStatusOf(result);
  json["message"] = result.message;
  if (result.stop) json["bugcheck"] = StopJson(result);
  if (result.status) {
    json["status"] = fmt::format("0x{:08X}", static_cast<uint32_t>(*result.status));
    json["status_name"] = StatusName(*result.status);
  }
  json["missing_imports"] = ordered_json::array();
  for (const std::string& name : result.missing_imports) json["missing_imports"].push_back(Clean(name));
  json["left_behind"] = ordered_json::array();
  for (const std::string& finding : result.left_behind) json["left_behind"].push_back(Clean(finding));
  json["warnings"] = ordered_json::array();
  for (const std::string& warning : result.warnings) json["warnings"].push_back(Clean(warning));
  json["threads"] = ordered_json::array();
  for (const ThreadFact& thread : result.threads) {
    json["threads"].push_back({{"thread", Hex(thread.thread)},
                               {"state", ThreadStateName(thread.state)},
                               {"reason", thread.state == 5 ? WaitReasonName(thread.wait_reason) : ""},
                               {"context_switches", thread.context_switches}});
  }
  json["thread_notes"] = result.thread_notes;
  if (!result.dump_path.empty()) {
    json["dump"] = result.dump_path;
    json["dump_type"] = result.dump.type == dump::DumpType::kFull ? "full" : "kernel";
    json["dump_bytes"] = result.dump.bytes;
    json["dump_pages"] = result.dump.pages;
  }
  json["console"] = result.console_path;
  json["seconds"] = {{"launch_to_driver_entry", result.seconds_to_driver_entry},
                     {"dump", result.seconds_to_write_dump},
                     {"total", result.seconds_total}};
  return json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace run
