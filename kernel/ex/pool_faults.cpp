// Pool allocations that fail on purpose, for the proof that the kernel itself survives without memory: boot
// option fail-pool=1 - each call site in the kernel fails once, the first time it is reached; fail-pool=N -
// one allocation in N, at random, from fail-pool-seed. Only while armed: a driver's entry routine runs.
#include "ex/ex.h"
#include "ex/pool_internal.h"
#include "kd/kd.h"

extern "C" {
ULONG ExpPoolFaultMode;  // 0 off, 1 sites, else one in N
ULONG64 ExpPoolFaultSeed;
volatile LONG ExpPoolFaultsArmed;
volatile LONG64 ExpPoolFaultsInjected;
volatile LONG64 ExpPoolFaultSites;
}

namespace ex {
namespace {

constexpr ULONG kSites = 4096;
ULONG64 g_sites[kSites];  // return addresses that have failed

// True the first time an address comes.
bool IsNewSite(ULONG64 caller) {
  const ULONG64 hash = caller * 0x9E3779B97F4A7C15;
  for (ULONG probe = 0; probe < kSites; ++probe) {
    ULONG64* entry = &g_sites[((hash >> 40) + probe) % kSites];
    ULONG64 expected = 0;
    if (__atomic_compare_exchange_n(entry, &expected, caller, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
      __atomic_fetch_add(&ExpPoolFaultSites, 1, __ATOMIC_RELAXED);
      return true;
    }
    if (expected == caller) return false;
  }
  return false;
}

bool Random() {
  const ULONG64 step = __atomic_add_fetch(&ExpPoolFaultSeed, 0x9E3779B97F4A7C15, __ATOMIC_RELAXED);
  ULONG64 value = (step ^ step >> 30) * 0xBF58476D1CE4E5B9;
  value = (value ^ value >> 27) * 0x94D049BB133111EB;
  return (value ^ value >> 31) % ExpPoolFaultMode == 0;
}

}  // namespace

bool FailOnPurpose(const PoolRequest& request) {
  if (ExpPoolFaultMode == 0 || ExpPoolFaultsArmed == 0) return false;
  // Allocations of the kernel alone: what drivers do without memory is Driver Verifier's business.
  const boot::LoaderBlock* block = KeLoaderBlock;
  if (Va(request.caller) - block->kernel_base >= block->kernel_size) return false;
  if (ExpPoolFaultMode != 1 && !Random()) return false;
  const bool fail = IsNewSite(Va(request.caller)) || ExpPoolFaultMode != 1;
  if (fail) __atomic_fetch_add(&ExpPoolFaultsInjected, 1, __ATOMIC_RELAXED);
  return fail;
}

}  // namespace ex

extern "C" {

VOID ExSetPoolFaults(ULONG Mode, ULONG Seed) {
  ExpPoolFaultSeed = Seed * 0x2545F4914F6CDD1Dull;
  ExpPoolFaultMode = Mode;
}

VOID ExSetSpecialPoolTag(ULONG Tag) {
  MmSpecialPoolTag = Tag;
}

VOID ExArmPoolFaults(BOOLEAN Arm) {
  if (ExpPoolFaultMode == 0) return;
  __atomic_fetch_add(&ExpPoolFaultsArmed, Arm ? 1 : -1, __ATOMIC_RELAXED);
  if (Arm) return;
  kd::Print("pool faults: %u allocations failed on purpose, at %u call sites\n",
            static_cast<ULONG>(ExpPoolFaultsInjected), static_cast<ULONG>(ExpPoolFaultSites));
}

}  // extern "C"
