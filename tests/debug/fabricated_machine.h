// A machine in a fabricated dump: processes, threads, processors, stacks; by default the one of the case
// study.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "commands/debug_main.h"
#include "commands/interpreter.h"
#include "dump_builder.h"

namespace fabricated {

// Values of _KTHREAD_STATE and KWAIT_REASON that the tests state.
enum State : uint8_t {
  kReady = 1,
  kRunning = 2,
  kStandby = 3,
  kTerminated = 4,
  kWaiting = 5,
  kTransition = 6,
  kDeferredReady = 7
};
enum Reason : uint8_t {
  kExecutive = 0,
  kDelayExecution = 4,
  kSuspended = 5,
  kUserRequest = 6,
  kWrQueue = 15,
  kWrLpcReply = 17,
  kWrPageIn = 9,
  kWrPageOut = 19,
  kWrCalloutStack = 25,
  kWrResource = 27,
  kWrPushLock = 28,
  kWrMutex = 29,
  kWrFastMutex = 34,
  kWrGuardedMutex = 35
};

struct ProcessSpec {
  uint64_t address = 0;  // 0: anywhere
  uint64_t pid = 0;
  std::string name;
  bool wow64 = false;
  bool ended = false;
};

struct ThreadSpec {
  uint64_t address = 0;
  uint64_t tid = 0;
  State state = kWaiting;
  Reason reason = kUserRequest;
  int priority = 8, base_priority = 8;
  uint64_t elapsed_ticks = 0;  // since WaitTime
  uint64_t context_switches = 1;
  uint64_t user_ticks = 0, kernel_ticks = 0;
  uint64_t suspend_count = 0;
  uint64_t active_faults = 0;
  std::optional<uint32_t> processor;  // it runs there
  bool idle = false;                  // the processor's idle thread
  uint64_t wait_object = 0;
};

// Registers of a processor.
struct Context {
  uint64_t rip = 0, rsp = 0, rbp = 0;
};

class Machine {
 public:
  explicit Machine(uint32_t processors = 6);

  DumpBuilder& builder() { return builder_; }
  uint64_t prcb(uint32_t number) const { return prcbs_[number]; }
  uint64_t AddProcess(const ProcessSpec& spec);
  uint64_t AddThread(uint64_t process, const ThreadSpec& spec);
  void SetContext(uint32_t processor, const Context& context);
  void SetCrash(uint32_t processor, uint32_t code, std::vector<uint64_t> parameters, const Context& context);
  // A spin lock in a processor's trace; `microseconds` ago.
  void TraceLock(uint32_t processor, unsigned slot, uint64_t lock, uint64_t caller, uint64_t thread,
                 bool spinning, uint64_t microseconds);
  uint64_t now_ticks() const { return kNowTicks; }

  // Saves the dump and opens it; the driver's symbols only with `driver_symbols`.
  struct Opened {
    std::unique_ptr<debug::Session> session;
    std::unique_ptr<commands::Interpreter> interpreter;
    std::string Run(const std::string& line);
  };
  Opened Open(bool driver_symbols = false);

  static constexpr uint64_t kNowTicks = 22369;  // 5m:49.515
  static constexpr uint64_t kCounterNow = 3495160000, kCounterFrequency = 10'000'000;
  static constexpr uint64_t kSystemTime = 133480798599210000;  // 2023-12-26 15:57:39.921 UTC

 private:
  void PutGlobals(uint32_t processors);
  void PutDebuggerData();
  void PutSharedData();
  void PutContext(uint64_t address, const Context& context);

  DumpBuilder builder_;
  std::vector<uint64_t> prcbs_;
};

// The machine of the case study: names and figures from tests/data/debug.
std::unique_ptr<Machine> CaseStudy();

}  // namespace fabricated
