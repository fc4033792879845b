// What Driver Verifier's files share.
#pragma once

#include "verifier_types.h"

namespace vf {

inline constexpr ULONG kSupported = DRIVER_VERIFIER_SPECIAL_POOLING | DRIVER_VERIFIER_FORCE_IRQL_CHECKING |
                                    DRIVER_VERIFIER_INJECT_ALLOCATION_FAILURES |
                                    DRIVER_VERIFIER_TRACK_POOL_ALLOCATIONS | DRIVER_VERIFIER_IO_CHECKING |
                                    DRIVER_VERIFIER_DEADLOCK_DETECTION | DRIVER_VERIFIER_DDI_COMPLIANCE;
inline constexpr ULONG kTag = 'fvVM';

inline bool IsOn(ULONG option) {
  return (MmVerifierData.Level & option) != 0;
}

// The verified driver whose code an address lies in, 0: none. Any IRQL.
PVF_SUSPECT_DRIVER_ENTRY DriverOf(PVOID address);

// One replaced routine. The replacement has the prototype of the original, which it calls by its own name.
struct Thunk {
  const char* name;
  PVOID replacement;
  ULONG options;  // needs one of these; 0: always
};
struct ThunkTable {
  const Thunk* thunks;
  ULONG count;
};
extern const ThunkTable kPoolThunks;
extern const ThunkTable kLockThunks;
extern const ThunkTable kIoThunks;
extern const ThunkTable kMemoryThunks;
extern const ThunkTable kCheckedThunks;  // of all drivers, where VfSetCheckedSpinLocks asked for it
// 0: nothing replaces this import.
PVOID FindReplacement(const char* name);

// ---- Low resources (verifier.cpp): true when this call is to fail ----
bool FailThisCall(PVOID caller);

// ---- Forced IRQL checking (lock_thunks.cpp) ----
// Before the IRQL rises to DISPATCH_LEVEL or above: what is pageable goes out.
void TrimBeforeRaise(KIRQL now, KIRQL next, PVOID caller);

// ---- DDI compliance (ddi_rules.cpp) ----
struct DdiRule {
  const char* routine;
  ULONG code;
  const char* rule;
  UCHAR lowest;
  UCHAR highest;
};
const DdiRule* FindRule(const char* routine);
// Code that checks the rule and goes on at `target`, in thunks that belong to the driver; `target` itself
// without memory.
PVOID MakeRuleThunk(PVF_SUSPECT_DRIVER_ENTRY driver, const DdiRule* rule, PVOID target);
void FreeRuleThunks(PVF_SUSPECT_DRIVER_ENTRY driver);

// ---- Deadlock detection (deadlock.cpp) ----
enum class LockKind : UCHAR { kSpinLock, kFastMutex, kMutex };
void DeadlockAcquired(PVOID lock, LockKind kind, PVOID caller);  // before it waits
void DeadlockReleased(PVOID lock, LockKind kind, PVOID caller);
void DeadlockInitialized(PVOID lock, LockKind kind, PVOID caller);
// Memory that is freed: its locks are forgotten; an owned one is a bug check.
void DeadlockForget(PVOID memory, SIZE_T bytes);

// ---- I/O verification (io_thunks.cpp) ----
void HookIoCalls();

}  // namespace vf

extern "C" {
// NT's name for the last step before the bug check.
[[noreturn]] VOID VerifierBugCheckIfAppropriate(ULONG Code, ULONG_PTR P1, ULONG_PTR P2, ULONG_PTR P3,
                                                ULONG_PTR P4);
}

namespace vf {

inline constexpr ULONG kViolation = 0xC4;  // DRIVER_VERIFIER_DETECTED_VIOLATION
inline constexpr ULONG kIoViolation = 0xC9;

template <typename T>
ULONG_PTR Bits(T* pointer) {
  return reinterpret_cast<ULONG_PTR>(pointer);
}

}  // namespace vf
