// The performance counter: the TSC, scaled to 10 MHz. The TSC's rate is measured once against the local APIC
// timer, which QEMU runs at exactly 1 GHz of its virtual clock.
#include "hal_internal.h"

#include "arch/cpu.h"

namespace hal {
namespace {

ULONG64 tsc_frequency = 1'000'000'000;
ULONG64 tsc_base;
ULONG64 scale = (kPerformanceFrequency << 32) / 1'000'000'000;  // performance ticks per TSC tick, 32.32

struct Sample {
  ULONG64 tsc;
  ULONG64 nanoseconds;
};

// The two clocks read together: of several tries the one in which least time passed in between.
Sample ReadBoth() {
  Sample best{};
  ULONG64 best_gap = ~0ull;
  for (int i = 0; i < 8; ++i) {
    const ULONG64 before = ReadTsc();
    const ULONG64 reference = ReadReferenceCount();
    const ULONG64 after = ReadTsc();
    if (after - before < best_gap) {
      best_gap = after - before;
      best = {before + best_gap / 2, reference};
    }
  }
  return best;
}

}  // namespace

void CalibrateTimers() {
  constexpr ULONG64 kSpanNanoseconds = 1'000'000;
  StartReferenceCount();
  const Sample first = ReadBoth();
  while (ReadReferenceCount() - first.nanoseconds < kSpanNanoseconds) arch::Pause();
  const Sample last = ReadBoth();
  StopReferenceCount();
  const ULONG64 elapsed = last.nanoseconds - first.nanoseconds;
  tsc_frequency = (last.tsc - first.tsc) * 1'000'000'000 / elapsed;
  if (tsc_frequency < 1'000'000)
    tsc_frequency = 1'000'000;  // a counter that stands still: times are meaningless, not fatal
  scale = (kPerformanceFrequency << 32) / tsc_frequency;
  tsc_base = first.tsc;
}

ULONG64 TscFrequency() {
  return tsc_frequency;
}

ULONG64 TscToPerformance(ULONG64 tsc) {
  if (tsc < tsc_base) return 0;
  const unsigned __int128 product = static_cast<unsigned __int128>(tsc - tsc_base) * scale;
  return static_cast<ULONG64>(product >> 32);
}

ULONG64 PerformanceNow() {
  return TscToPerformance(ReadTsc());
}

}  // namespace hal
