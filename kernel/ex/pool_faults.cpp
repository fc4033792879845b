// Allocations of pool (and, but for fail-pool=N, of pages) that fail on purpose, for the proof that the
// kernel itself survives without memory. Only the allocations of the kernel and of its boot driver (the file
// system of C:), and only while armed: a driver's entry routine runs.
//
// fail-pool=1 (boot option): each way to each call site fails once, the first time it is taken: the call site
// and the kernel's frames above it. Whoever repeats what it does comes to every failure there is.
//
// fail-pool=N: one allocation in N, at random, from fail-pool-seed.
//
// watch-pool=1: none fails, the call sites that are reached are counted.
#include "ex/ex.h"
#include "ex/pool_internal.h"
#include "kd/kd.h"

extern "C" {
ULONG ExpPoolFaultMode;  // 0 off, 1 ways, kWatch, else one in N
ULONG64 ExpPoolFaultSeed;
volatile LONG ExpPoolFaultsArmed;
volatile LONG64 ExpPoolFaultsInjected;
}

namespace ex {
namespace {

constexpr ULONG kOff = 0, kWays = 1, kWatch = 0xFFFFFFFF;
constexpr ULONG kFrames = 8;

// A set of numbers that only grows, without locks.
template <ULONG kSize>
class Numbers {
 public:
  // The number's place, or kSize when there is none left; *is_new: it was not there before.
  ULONG Add(ULONG64 number, bool* is_new) {
    const ULONG64 hash = number * 0x9E3779B97F4A7C15 >> 40;
    *is_new = false;
    for (ULONG probe = 0; probe < kSize; ++probe) {
      const auto place = static_cast<ULONG>((hash + probe) % kSize);
      ULONG64 there = 0;
      *is_new = __atomic_compare_exchange_n(&numbers_[place], &there, number, false, __ATOMIC_ACQ_REL,
                                            __ATOMIC_ACQUIRE);
      if (*is_new || there == number) return place;
    }
    return kSize;
  }
  ULONG64 operator[](ULONG place) const { return numbers_[place]; }

 private:
  ULONG64 numbers_[kSize];
};

constexpr ULONG kSites = 1024;
constexpr ULONG kMostWays = 8192;
constinit Numbers<kSites> g_sites = {};
constinit Numbers<kMostWays> g_ways = {};
volatile LONG g_failed[kSites];

// The boot driver's image.
ULONG64 g_boot_driver;
ULONG64 g_boot_driver_size;

bool IsBootDriverCode(ULONG64 address) {
  return address - g_boot_driver < g_boot_driver_size;
}

bool IsOurCode(ULONG64 address) {
  return address - KeLoaderBlock->kernel_base < KeLoaderBlock->kernel_size || IsBootDriverCode(address);
}

// Our frames from the call site outward, as one number.
ULONG64 WayTo(ULONG64 site) {
  PVOID callers[2 * kFrames];
  const ULONG count = RtlWalkFrameChain(callers, RTL_NUMBER_OF(callers), 0);
  ULONG at = 0;
  while (at < count && Va(callers[at]) != site) ++at;
  ULONG64 way = site;
  for (ULONG i = at + 1; i < count && i <= at + kFrames && IsOurCode(Va(callers[i])); ++i)
    way = (way ^ Va(callers[i])) * 0xFF51AFD7ED558CCD;
  return way;
}

bool Random() {
  const ULONG64 step = __atomic_add_fetch(&ExpPoolFaultSeed, 0x9E3779B97F4A7C15, __ATOMIC_RELAXED);
  ULONG64 value = (step ^ step >> 30) * 0xBF58476D1CE4E5B9;
  value = (value ^ value >> 27) * 0x94D049BB133111EB;
  return (value ^ value >> 31) % ExpPoolFaultMode == 0;
}

void Report() {
  ULONG reached = 0, failed = 0;
  for (ULONG i = 0; i < kSites; ++i) {
    if (g_sites[i] == 0) continue;
    ++reached;
    if (g_failed[i] != 0) ++failed;
    const bool boot = IsBootDriverCode(g_sites[i]);
    kd::Print("pool site: %s+0x%x %u\n", boot ? "boot" : "nt",
              static_cast<ULONG>(g_sites[i] - (boot ? g_boot_driver : KeLoaderBlock->kernel_base)),
              static_cast<ULONG>(g_failed[i]));
  }
  kd::Print("pool faults: %u allocations failed on purpose, at %u call sites of %u reached\n",
            static_cast<ULONG>(ExpPoolFaultsInjected), failed, reached);
}

}  // namespace

namespace {

bool FailAt(ULONG64 caller) {
  bool is_new = false;
  const ULONG site = g_sites.Add(caller, &is_new);
  if (ExpPoolFaultMode == kWatch || site == kSites) return false;
  bool fail = false;
  if (ExpPoolFaultMode == kWays) {
    g_ways.Add(WayTo(caller), &fail);
  } else {
    fail = Random();
  }
  if (!fail) return false;
  InterlockedIncrement(&g_failed[site]);
  __atomic_fetch_add(&ExpPoolFaultsInjected, 1, __ATOMIC_RELAXED);
  return true;
}

}  // namespace

bool FailOnPurpose(const PoolRequest& request) {
  if (ExpPoolFaultMode == kOff || ExpPoolFaultsArmed == 0) return false;
  // What other drivers do without memory is Driver Verifier's business.
  return IsOurCode(Va(request.caller)) && FailAt(Va(request.caller));
}

}  // namespace ex

extern "C" {

BOOLEAN ExFailPageOnPurpose(PVOID Caller) {
  using namespace ex;
  // At random a page would be missing too often: whoever touches memory waits for it.
  if (ExpPoolFaultsArmed == 0 || (ExpPoolFaultMode != kWays && ExpPoolFaultMode != kWatch)) return FALSE;
  return FailAt(Va(Caller));
}

VOID ExSetPoolFaults(ULONG Mode, ULONG Seed, BOOLEAN Watch) {
  ExpPoolFaultSeed = Seed * 0x2545F4914F6CDD1Dull;
  ExpPoolFaultMode = Watch ? ex::kWatch : Mode;
}

VOID ExSetSpecialPoolTag(ULONG Tag) {
  MmSpecialPoolTag = Tag;
}

VOID ExIncludeInPoolFaults(PVOID Image, ULONG Size) {
  ex::g_boot_driver = reinterpret_cast<ULONG64>(Image);
  ex::g_boot_driver_size = Size;
}

VOID ExArmPoolFaults(BOOLEAN Arm) {
  if (ExpPoolFaultMode == ex::kOff) return;
  __atomic_fetch_add(&ExpPoolFaultsArmed, Arm ? 1 : -1, __ATOMIC_RELAXED);
  if (!Arm) ex::Report();
}

}  // extern "C"
