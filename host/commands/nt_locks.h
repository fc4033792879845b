// Who holds and who spins for which spin lock: our kernel's lock trace. Windows keeps no such record; there
// only what the stacks show is known.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "commands/nt_kernel.h"
#include "commands/nt_process.h"

namespace nt {

// How a spin lock was taken, as our kernel's _KLOCK_TRACE_FAMILY counts.
enum class LockFamily : uint8_t { kPlain = 0, kQueued = 1, kShared = 2, kExclusive = 3 };
// "", "queued", "shared", "exclusive"
std::string_view LockFamilyText(LockFamily family);

struct LockTraceEntry {
  uint32_t processor = 0;
  uint64_t lock = 0;
  uint64_t caller = 0;  // return address in the code that took it or wants it
  uint64_t thread = 0;
  bool spinning = false;
  LockFamily family = LockFamily::kPlain;
  uint8_t old_irql = 0;                // before the acquisition
  std::optional<double> microseconds;  // how long it is held or spun for
};

// Documented limit for holding a spin lock, microseconds.
inline constexpr double kSpinLockLimit = 25;

// Every entry in use, by processor. Empty on kernels without a trace (see HasLockTrace).
std::vector<LockTraceEntry> LockTrace(Kernel& kernel);
bool HasLockTrace(const Kernel& kernel);

// Locks of threads (mutexes, push locks, resources), from KTHREAD.LockEntries where the kernel keeps them.
struct ThreadLock {
  uint64_t lock = 0;
  uint64_t caller = 0;
  bool waiting = false;
  uint64_t kind = 0;
  std::optional<double> microseconds;
};
inline constexpr uint64_t kResourceLock = 4;
// "fast mutex", "guarded mutex", "push lock", "resource"; else "lock".
const char* LockKindName(uint64_t kind);
std::vector<ThreadLock> ThreadLocks(Kernel& kernel, const Thread& thread);
// The first mutant on the thread's MutantListHead, 0 = none.
uint64_t FirstOwnedMutant(Kernel& kernel, const Thread& thread);

// True when the innermost code is one of the kernel's spin-lock wait loops.
bool IsSpinWait(const std::string& function);
// The innermost code asks for a spin lock and has not got to the wait loop yet.
bool IsSpinLockAcquire(const std::string& function);
// The running thread's program counter lies in such a loop.
bool IsSpinning(Kernel& kernel, const Thread& thread);

}  // namespace nt
