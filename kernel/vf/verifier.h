// What Driver Verifier's files share.
#pragma once

#include "verifier_types.h"

namespace vf {

// What this kernel has of verifier.exe's options (data/verifier_options.tsv).
inline constexpr ULONG kSupported = 0
#define VERIFIER_OPTION(bit, name, title, standard, there) | (there ? (bit) : 0u)
#include "verifier_options.inc"
#undef VERIFIER_OPTION
    ;
inline constexpr ULONG kTag = 'fvVM';

// Beside DRIVER_VERIFIER_*.
inline constexpr ULONG kDma = 0x80, kSecurity = 0x100, kForcePending = 0x200, kIrpLogging = 0x400,
                       kMiscellaneous = 0x800, kInvariantMdlStack = 0x2000, kInvariantMdl = 0x4000,
                       kDdiAdditional = 0x80000, kCodeIntegrity = 0x2000000;

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
extern const ThunkTable kMdlThunks;
extern const ThunkTable kIntegrityThunks;
extern const ThunkTable kIrpThunks;
extern const ThunkTable kDeviceThunks;
extern const ThunkTable kDmaThunks;
extern const ThunkTable kMiscThunks;
extern const ThunkTable kObjectThunks;
extern const ThunkTable kWaitThunks;
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
// Rules about more than one call.
struct LockRule {
  ULONG code;
  const char* text;
};
inline constexpr LockRule
    kRuleCriticalRegions = {0x40003, "CriticalRegions: left before the dispatch routine returns"},
    kRuleQueuedSpinLock =
        {0x40006,
         "QueuedSpinLock: released before it is taken again, and before the dispatch routine returns"},
    kRuleQueuedSpinLockRelease = {0x40007, "QueuedSpinLockRelease: taken before it is released"},
    kRuleSpinLock = {0x40009,
                     "SpinLock: released before it is taken again, and before the dispatch routine returns"},
    kRuleSpinLockRelease = {0x4000A, "SpinlockRelease: taken before it is released"},
    kRuleGuardedRegions = {0x4000E, "GuardedRegions: left before the dispatch routine returns"};
[[noreturn]] void RuleViolation(const LockRule& rule, ULONG_PTR state);
// At DISPATCH_LEVEL or above: has this processor taken it? (checked_locks.cpp)
bool HeldHere(PKSPIN_LOCK lock);
// One that code between the two addresses took and this processor holds.
struct HeldLock {
  PVOID lock;
  bool queued;
};
bool FindHeldLock(PVOID start, PVOID end, HeldLock* held);
// Code that checks the rule and goes on at `target`, in thunks that belong to the driver; `target` itself
// without memory.
PVOID MakeRuleThunk(PVF_SUSPECT_DRIVER_ENTRY driver, const DdiRule* rule, PVOID target);
void FreeRuleThunks(PVF_SUSPECT_DRIVER_ENTRY driver);

// ---- Deadlock detection (deadlock.cpp) ----
enum class LockKind : UCHAR { kSpinLock, kQueuedSpinLock, kFastMutex, kUnsafeFastMutex, kMutex };
void DeadlockAcquired(PVOID lock, LockKind kind, PVOID caller);  // before it waits
void DeadlockReleased(PVOID lock, LockKind kind, PVOID caller);
void DeadlockInitialized(PVOID lock, LockKind kind, PVOID caller);
// Memory that is freed: its locks are forgotten; an owned one is a bug check.
void DeadlockForget(PVOID memory, SIZE_T bytes);
void DeadlockThreadEnds();  // the current one

// ---- Miscellaneous (misc_thunks.cpp) ----
void CheckFreedMemory(PVOID memory, SIZE_T bytes, bool paged);
void CheckDeletedDevice(PDEVICE_OBJECT device);
void CheckUnloadedImage(PVOID image, SIZE_T bytes);

// ---- Code integrity (code_integrity.cpp); without that option they do nothing ----
inline constexpr ULONG kNonPagedExecute = 0, kNonPagedNx = 512;
void CheckPoolIntegrity(ULONG type, ULONG tag, PVOID caller);
void CheckMappingProtection(ULONG priority, KPROCESSOR_MODE mode, PVOID caller);
void CheckImageIntegrity(PVF_SUSPECT_DRIVER_ENTRY driver);

// An IRP in a block that the I/O manager allocated (pool_thunks.cpp).
bool IsIrpOfPool(PVOID block, SIZE_T bytes);

// ---- DMA (dma_thunks.cpp): when the driver is unloaded ----
void ForgetDmaAdapters(PVF_SUSPECT_DRIVER_ENTRY driver);

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
bool SameText(const char* a, const char* b);

}  // namespace vf
