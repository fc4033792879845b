// What a thread waits for, and which threads deserve a look: the columns of !mex.tl -t.
#pragma once

#include <string>
#include <vector>

#include "commands/nt_kernel.h"
#include "commands/nt_locks.h"
#include "commands/nt_process.h"

namespace nt {

// A thread falls into at most one class.
enum class ThreadClass : uint8_t {
  kOther,
  kRunning,   // Rn: State Running
  kReadyish,  // Ry: Ready, DeferredReady, Standby, Transition
  kBlocked,   // Bk: waits for a lock: WrPushLock, WrMutex, WrFastMutex, WrGuardedMutex, WrRundown, or for a
              // mutant
  kLpc,       // Lc: WrLpcReply
  kPaging,  // IO: PageIn, WrPageIn, WrPageOut, WrPhysicalFault, FreePage, WrFreePage, or a page on its way in
  kResource,  // Er: WrResource
};

ThreadClass Classify(Kernel& kernel, const Thread& thread);

// The rule for !!, in words; printed by the help of !mex.tl.
inline constexpr uint64_t kReadyTooLong = 1 * 10'000'000;     // 100 ns units
inline constexpr uint64_t kRunningTooLong = 10 * 10'000'000;  // 100 ns units
extern const char kAttentionRule[];

// Why the thread deserves a look, "" when it does not. `trace`: LockTrace() of the machine.
std::string AttentionReason(Kernel& kernel, const Thread& thread, const std::vector<LockTraceEntry>& trace);

struct ThreadCounts {
  uint64_t attention = 0, running = 0, readyish = 0, blocked = 0, lpc = 0, paging = 0, resource = 0;
  std::vector<std::pair<const Thread*, std::string>> reasons;  // the threads behind `attention`
};
ThreadCounts CountThreads(Kernel& kernel, const Process& process, const std::vector<LockTraceEntry>& trace);

}  // namespace nt
