#include "commands/nt_wait.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "commands/text.h"

namespace nt {

const char kAttentionRule[] =
    "!! counts threads that deserve a look. MEX documents no rule; this debugger's is:\n"
    "  - suspended: SuspendCount is not 0, or the wait reason is Suspended or WrSuspended;\n"
    "  - spinning: the processor's lock trace says so, or a running thread's program counter is in one of "
    "the\n"
    "    kernel's spin-lock wait loops;\n"
    "  - holding a spin lock for longer than the 25 microseconds that the documentation allows;\n"
    "  - running for 10 seconds or longer since its last wait (and since its creation), not an idle thread;\n"
    "  - ready (also standby, deferred ready, in transition) for 1 second or longer, not an idle thread;\n"
    "  - holding a lock while blocked: it waits for a lock, an ERESOURCE or a page and holds a spin lock, a\n"
    "    mutant or another lock; or it waits for anything at all while it holds a spin lock.\n"
    "With -v each of them is listed with its reason.";

namespace {

enum class ReasonClass : uint8_t { kNone, kLock, kLpc, kPage, kResource };

// By name, so that a kernel with other numbers is read right.
ReasonClass ClassOfReason(const std::string& reason) {
  static constexpr std::array<const char*, 5> kLocks = {"WrPushLock", "WrMutex", "WrFastMutex",
                                                        "WrGuardedMutex", "WrRundown"};
  static constexpr std::array<const char*, 6> kPages = {"FreePage", "PageIn",    "WrFreePage",
                                                        "WrPageIn", "WrPageOut", "WrPhysicalFault"};
  auto among = [&](const auto& names) {
    return std::any_of(names.begin(), names.end(), [&](const char* name) { return reason == name; });
  };
  if (among(kLocks)) return ReasonClass::kLock;
  if (among(kPages)) return ReasonClass::kPage;
  if (reason == "WrLpcReply") return ReasonClass::kLpc;
  if (reason == "WrResource") return ReasonClass::kResource;
  return ReasonClass::kNone;
}

bool WaitsForMutant(Kernel& kernel, const Thread& thread) {
  const auto objects = WaitObjects(kernel, thread);
  return std::any_of(objects.begin(), objects.end(),
                     [](const WaitObject& o) { return o.type == kMutantObject; });
}

}  // namespace

ThreadClass Classify(Kernel& kernel, const Thread& thread) {
  if (thread.state == ThreadState::kRunning) return ThreadClass::kRunning;
  if (thread.IsReadyish()) return ThreadClass::kReadyish;
  if (thread.state != ThreadState::kWaiting) return ThreadClass::kOther;
  switch (ClassOfReason(thread.wait_reason_name)) {
    case ReasonClass::kLock:
      return ThreadClass::kBlocked;
    case ReasonClass::kLpc:
      return ThreadClass::kLpc;
    case ReasonClass::kPage:
      return ThreadClass::kPaging;
    case ReasonClass::kResource:
      return ThreadClass::kResource;
    case ReasonClass::kNone:
      break;
  }
  if (thread.active_faults != 0) return ThreadClass::kPaging;
  return WaitsForMutant(kernel, thread) ? ThreadClass::kBlocked : ThreadClass::kOther;
}

namespace {

std::string SpinReason(Kernel& kernel, const Thread& thread, const std::vector<LockTraceEntry>& trace) {
  for (const LockTraceEntry& entry : trace) {
    if (!entry.spinning || entry.thread != thread.address) continue;
    std::string text =
        fmt::format("spinning for the spin lock at {:016x} on processor {}", entry.lock, entry.processor);
    if (entry.microseconds) text += " for " + commands::ShortTime(*entry.microseconds);
    return text;
  }
  if (IsSpinning(kernel, thread)) return "spinning for a spin lock";
  for (const LockTraceEntry& entry : trace) {
    const bool too_long = entry.microseconds && *entry.microseconds > kSpinLockLimit;
    if (entry.spinning || entry.thread != thread.address || !too_long ||
        thread.state == ThreadState::kWaiting)
      continue;
    return fmt::format("holding the spin lock at {:016x} for {}", entry.lock,
                       commands::ShortTime(*entry.microseconds));
  }
  return "";
}

std::string HolderReason(Kernel& kernel, const Thread& thread, ThreadClass what,
                         const std::vector<LockTraceEntry>& trace) {
  if (thread.state != ThreadState::kWaiting) return "";
  for (const LockTraceEntry& entry : trace) {
    if (entry.spinning || entry.thread != thread.address) continue;
    return fmt::format("waiting ({}) while it holds the spin lock at {:016x}", thread.wait_reason_name,
                       entry.lock);
  }
  const bool blocked =
      what == ThreadClass::kBlocked || what == ThreadClass::kResource || what == ThreadClass::kPaging;
  if (!blocked) return "";
  for (const ThreadLock& lock : ThreadLocks(kernel, thread)) {
    if (lock.waiting) continue;
    return fmt::format("blocked ({}) while it holds the lock at {:016x}", thread.wait_reason_name, lock.lock);
  }
  if (const uint64_t mutant = FirstOwnedMutant(kernel, thread)) {
    return fmt::format("blocked ({}) while it owns the mutant at {:016x}", thread.wait_reason_name, mutant);
  }
  return "";
}

}  // namespace

std::string AttentionReason(Kernel& kernel, const Thread& thread, const std::vector<LockTraceEntry>& trace) {
  if (thread.state == ThreadState::kTerminated || thread.is_idle) return "";
  if (thread.suspend_count != 0) return fmt::format("suspended (SuspendCount {})", thread.suspend_count);
  if (thread.state == ThreadState::kWaiting &&
      (thread.wait_reason_name == "Suspended" || thread.wait_reason_name == "WrSuspended")) {
    return "suspended";
  }
  if (const std::string spin = SpinReason(kernel, thread, trace); !spin.empty()) return spin;
  const ThreadClass what = Classify(kernel, thread);
  const uint64_t elapsed = std::min(thread.time, thread.age);
  if (thread.pid != 0 && what == ThreadClass::kRunning && elapsed >= kRunningTooLong) {
    return "running for " + commands::DurationCut(elapsed) + " without a wait";
  }
  if (thread.pid != 0 && what == ThreadClass::kReadyish && elapsed >= kReadyTooLong) {
    return fmt::format("{} for {} without being run", commands::Lower(thread.state_name),
                       commands::DurationCut(elapsed));
  }
  return HolderReason(kernel, thread, what, trace);
}

ThreadCounts CountThreads(Kernel& kernel, const Process& process, const std::vector<LockTraceEntry>& trace) {
  ThreadCounts counts;
  for (const Thread& thread : process.threads) {
    switch (Classify(kernel, thread)) {
      case ThreadClass::kRunning:
        ++counts.running;
        break;
      case ThreadClass::kReadyish:
        ++counts.readyish;
        break;
      case ThreadClass::kBlocked:
        ++counts.blocked;
        break;
      case ThreadClass::kLpc:
        ++counts.lpc;
        break;
      case ThreadClass::kPaging:
        ++counts.paging;
        break;
      case ThreadClass::kResource:
        ++counts.resource;
        break;
      case ThreadClass::kOther:
        break;
    }
    std::string reason = AttentionReason(kernel, thread, trace);
    if (reason.empty()) continue;
    ++counts.attention;
    counts.reasons.emplace_back(&thread, std::move(reason));
  }
  return counts;
}

}  // namespace nt
