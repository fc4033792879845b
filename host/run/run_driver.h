// `bugcheck run`: a fresh machine, one driver, a verdict.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "boot/control.h"
#include "dump/dump_writer.h"
#include "run/machine.h"
#include "run/progress.h"

namespace run {

struct RunOptions {
  std::string driver;  // path of the .sys
  MachineOptions machine;
  std::string drive_c;  // "" = a fresh temporary folder
  std::chrono::milliseconds timeout{30000};
  // Nothing: until the driver's threads are gone or only wait, or have done little for five seconds.
  std::optional<std::chrono::milliseconds> keep_running;
  std::chrono::milliseconds after_unload{0};
  std::optional<std::chrono::milliseconds> power_button;  // held down so long after the service's start
  std::string devnode;         // hardware identifier of a device that the driver is for; "" = none
  std::string live_dump_path;  // a dump while the driver works; "" = none
  bool watch_kernel = false;   // changes of the kernel are bug check 0x109
  std::string dump_path;       // "" = C:\Windows\MEMORY.DMP, or the state folder when C: is temporary
  std::string console_path;    // "" = in the state folder
  std::string trace_path;      // "" = beside the console there
  dump::DumpType dump_type = dump::DumpType::kKernel;
  int interrupt_fd = -1;
};

enum class Outcome { kClean, kLeftBehind, kBugcheck, kHang, kNotLoaded, kInternalError, kInterrupted };

// A thread of the driver at the moment when time was up.
struct ThreadFact {
  uint64_t thread;  // ETHREAD
  uint32_t state;   // KTHREAD_STATE
  uint32_t wait_reason;
  uint64_t context_switches;
};

struct RunResult {
  Outcome outcome = Outcome::kInternalError;
  std::string message;            // why, one sentence; "" when clean
  std::optional<int32_t> status;  // NTSTATUS of the load
  std::vector<std::string> missing_imports;
  std::vector<std::string> warnings;
  std::vector<std::string> left_behind;
  std::optional<boot::StopFacts> stop;
  std::string fault_symbol;  // "hostfs!HostFsCreate+0x10", "" = not known
  std::string process;
  std::vector<ThreadFact> threads;
  std::vector<std::string> thread_notes;  // "ffff... spinning on processor 3 in Driver!Loop+0x4"
  std::string dump_path;                  // "" = none written
  dump::DumpStatistics dump{};
  std::string console_path;
  std::string accelerator;
  double seconds_to_driver_entry = 0;  // since launch; 0 = it was never called
  double seconds_to_write_dump = 0;
  double seconds_total = 0;
};

RunResult RunDriver(const RunOptions& options, Progress& progress);

// The exit status that belongs to an outcome.
int ExitStatusOf(const RunResult& result);
const char* OutcomeName(Outcome outcome);

}  // namespace run
